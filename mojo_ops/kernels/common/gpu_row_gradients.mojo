"""Sums over the rows of a matrix on a GPU, for the gradients of a norm's weight and bias, in two steps.

Each block adds up the rows that it does in float32, then a second kernel adds up the blocks. The number of blocks
depends on the sizes and the dtype alone and the order is fixed, so the result is the same bits every time.
"""

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace
from std.math import ceildiv
from std.memory import stack_allocation
from std.sys import align_of

from .gpu_rows import Places, for_block_rows
from .row_gradients import Addresses
from .vectors import F32, Ptr

comptime GPU_VECTORS = 1 << 18  # that the threads of all blocks keep: two rounds of blocks on the largest cards
comptime MOST_THREADS = 512  # of a block, which leaves 128 registers to each
comptime COLUMNS = 32  # of the second kernel's blocks
comptime LINES = 32
comptime CHUNK = 4  # float32 in 16 bytes


@always_inline
def planes[width: Int]() -> Int:
    """A block stores its sums in planes: first the first 16 bytes of every vector of `width` sums, then the second
    ones, so that the threads of a warp store neighbouring 16 bytes at once."""
    return max(1, width // CHUNK)


@always_inline
def place_of_sum[width: Int](column: Int, d: Int) -> Int:
    comptime step = width // planes[width]()
    var plane = column % width // step
    return plane * (d // planes[width]()) + column // width * step + column % step


struct BlockGradients[count: Int, width: Int, vectors: Int](Movable):
    """The sums of a block, [count, d]: for the first `vectors` places of each thread in registers, for the others in
    memory."""

    comptime PLANES = planes[Self.width]()
    comptime STEP = Self.width // Self.PLANES
    comptime ALIGNMENT = Self.STEP * align_of[F32]()
    comptime Chunk = SIMD[F32, Self.STEP]

    var sums: Pointer[Float32, MutUntrackedOrigin]
    var places: Places[Self.width, Self.vectors]
    var values: Array[Self.Chunk, Self.count * Self.vectors * Self.PLANES]

    @always_inline
    def __init__(out self, sums: Ptr[F32], places: Places[Self.width, Self.vectors]):
        """`sums`: where all blocks store, one after the other."""
        var first = Int(block_idx.x) * Self.count * places.d
        self.sums = sums.unsafe_offset(first).unsafe_origin_cast[MutUntrackedOrigin]()
        self.places = places
        self.values = Array[Self.Chunk, Self.count * Self.vectors * Self.PLANES](fill=0)
        self.store[False]()

    @staticmethod
    @always_inline
    def index(s: Int, h: Int, plane: Int) -> Int:
        return (s * Self.vectors + h) * Self.PLANES + plane

    @always_inline
    def at(self, s: Int, i: Int, plane: Int) -> Int:
        var d = self.places.d
        return s * d + plane * (d // Self.PLANES) + i // Self.width * Self.STEP

    @always_inline
    def store[in_registers: Bool](self):
        """Stores the sums that are in registers, or zeros for the others."""

        @always_inline
        def each[h: Int](i: Int) {imm}:
            comptime if in_registers == (h >= 0):
                comptime for s in range(Self.count):
                    comptime for plane in range(Self.PLANES):
                        var sum = Self.Chunk(0)
                        comptime if in_registers:
                            sum = self.values[Self.index(s, h, plane)]
                        self.sums.unsafe_store[alignment=Self.ALIGNMENT](self.at(s, i, plane), sum)

        self.places.each(each)

    @always_inline
    def finish(self):
        self.store[True]()

    @always_inline
    def add[s: Int, h: Int, plane: Int](mut self, i: Int, a: Self.Chunk, b: Self.Chunk):
        """Adds a * b to sum `s` at the place that `Places.each` calls h, at i, in the chunk `plane` of its vector.
        """
        comptime if h >= 0:
            comptime k = Self.index(s, h, plane)
            self.values[k] = a.fma(b, self.values[k])
        else:
            var at = self.at(s, i, plane)
            var sum = self.sums.unsafe_load[width=Self.STEP, alignment=Self.ALIGNMENT](at)
            self.sums.unsafe_store[alignment=Self.ALIGNMENT](at, a.fma(b, sum))


def add_parts_kernel[
    dtype: DType, count: Int, width: Int
](sums: Ptr[F32], first: Int64, second: Int64, parts: Int64, columns: Int64):
    """The sum over parts, each [count, columns] in the order of `place_of_sum`: `first` is the address of that of the
    first gradient, `second` that of the other one. A block does COLUMNS of them with LINES threads for each.
    """
    var shared = stack_allocation[LINES * COLUMNS, F32, address_space=AddressSpace.SHARED]()
    var s = Int(block_idx.y)
    var d = Int(columns)
    var thread = Int(thread_idx.x)
    var column = Int(block_idx.x) * COLUMNS + thread % COLUMNS
    var sum = Float32(0)
    if column < d:
        var place = place_of_sum[width](column, d)
        for part in range(thread // COLUMNS, Int(parts), LINES):
            sum += sums.unsafe_load((part * count + s) * d + place)
    shared.unsafe_store(thread, sum)
    comptime for k in range(5):
        comptime half = (LINES >> 1) >> k
        barrier()
        if thread < half * COLUMNS:
            shared.unsafe_store(
                thread, shared.unsafe_load(thread) + shared.unsafe_load(thread + half * COLUMNS)
            )
    if thread < COLUMNS and column < d:
        var out = Ptr[dtype](unsafe_from_address=Int(first if s == 0 else second))
        out.unsafe_store(column, shared.unsafe_load(thread).cast[dtype]())


@always_inline
def sum_over_blocks[
    dtype: DType,
    count: Int,
    Launch: def[width: Int, vectors: Int](Ptr[F32], Int, Int) raises -> None,
](
    launch: Launch, gradients: Addresses[count], rows: Int, d: Int, whole_vectors: Bool, ctx: DeviceContext
) raises:
    """Calls `launch[width, vectors](sums, blocks, threads)`, which starts a kernel whose blocks have
    `BlockGradients[count, width, vectors]` at `sums`, and adds these up.

    `gradients`: addresses of what the sums over all rows are written to.
    `whole_vectors`: all tensors and rows are aligned to 16 bytes.
    """
    comptime assert count <= 2

    @always_inline
    def run[width: Int, vectors: Int](threads: Int) raises {var, imm launch, imm gradients, imm ctx}:
        var parts = max(1, min(rows, GPU_VECTORS // (threads * vectors)))
        var buffer = ctx.enqueue_create_buffer[F32](parts * count * d)
        var sums = buffer.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]()
        launch[width, vectors](sums, parts, threads)
        ctx.enqueue_function[add_parts_kernel[dtype, count, width]](
            sums,
            Int64(gradients[0]),
            Int64(gradients[count - 1]),
            Int64(parts),
            Int64(d),
            grid_dim=(ceildiv(d, COLUMNS), count),
            block_dim=COLUMNS * LINES,
        )
        _ = buffer^

    for_block_rows[dtype, MOST_THREADS](run, d, whole_vectors)
