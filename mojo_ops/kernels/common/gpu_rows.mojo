"""What the norms share on a GPU: a block does a row, which stays in its registers."""

from max.gpu import block_dim, thread_idx
from std.math import ceildiv
from std.sys import align_of

from .gpu import gpu_width
from .gpu_block import block_sum
from .rows import Moments
from .vectors import F32, Ptr, up

comptime VECTORS = 2  # of a row for each thread
comptime MOST_THREADS = 1024  # of a block; a thread then has 64 registers
comptime WHOLE_WARPS = 64  # threads: a multiple of the lanes of a warp on every GPU


@always_inline
def long_vectors[dtype: DType]() -> Int:
    """Vectors for each thread where rows are longer than a block can hold so, or not aligned: as many as the registers
    hold without spilling."""
    return 4 if dtype == F32 else 3


@always_inline
def for_block_rows[
    dtype: DType, most_threads: Int, Launch: def[width: Int, vectors: Int](Int) raises -> None
](launch: Launch, d: Int, whole_vectors: Bool) raises:
    """Calls `launch[width, vectors](threads)` with the block that suits rows of `d` elements.

    `whole_vectors`: all tensors and rows are aligned to 16 bytes.
    """

    @always_inline
    def run[width: Int, vectors: Int]() raises {var d, imm launch}:
        var threads = ceildiv(d, width * vectors * WHOLE_WARPS) * WHOLE_WARPS
        launch[width, vectors](min(threads, most_threads))

    comptime WIDTH = gpu_width[dtype]()
    if not whole_vectors:
        run[1, long_vectors[dtype]()]()
    elif d <= most_threads * VECTORS * WIDTH:
        run[WIDTH, VECTORS]()
    else:
        run[WIDTH, long_vectors[dtype]()]()


struct Places[width: Int, count: Int](ImplicitlyCopyable, Movable):
    """Where the vectors of this thread begin in a row of `d` elements, a multiple of `width`. The first `count` have
    a number, with which they find their registers."""

    comptime FITS = Self.count == VECTORS  # `for_block_rows` sees to it that rows have no other places

    var d: Int

    @always_inline
    def __init__(out self, d: Int):
        self.d = d

    @always_inline
    def place(self, h: Int) -> Int:
        return Int((Int32(thread_idx.x) + Int32(h) * Int32(block_dim.x)) * Int32(Self.width))

    @always_inline
    def each[Body: def[h: Int](Int) -> None](self, body: Body):
        """Calls `body[h](i)` for each of them; h is -1 behind the first `count`."""
        comptime for h in range(Self.count):
            if self.place(h) < self.d:
                body[h](self.place(h))
        comptime if not Self.FITS:
            for i in range(self.place(Self.count), self.d, Int(block_dim.x) * Self.width):
                body[-1](i)


struct BlockRow[dtype: DType, width: Int, held: Int](Copyable, Movable):
    """A row of which this thread keeps the first `held` vectors in registers. What does not fit is read again, from a
    cache."""

    comptime ALIGNMENT = Self.width * align_of[Self.dtype]()

    var row: Pointer[Scalar[Self.dtype], MutUntrackedOrigin]
    var values: Array[SIMD[Self.dtype, Self.width], Self.held]

    @always_inline
    def __init__(out self, row: Ptr[Self.dtype], places: Places[Self.width, ...]):
        self.row = row.unsafe_origin_cast[MutUntrackedOrigin]()
        self.values = Array[SIMD[Self.dtype, Self.width], Self.held](fill=0)
        comptime for h in range(Self.held):
            if places.place(h) < places.d:
                self.values[h] = row.unsafe_load[width=Self.width, alignment=Self.ALIGNMENT](places.place(h))

    @always_inline
    def at[h: Int](self, i: Int) -> SIMD[F32, Self.width]:
        """The vector that `Places.each` calls h, at i."""
        comptime if 0 <= h < Self.held:
            return self.values[h].cast[F32]()
        else:
            return up[Self.width, Self.ALIGNMENT](self.row.unsafe_origin_cast[MutAnyOrigin](), i)


@always_inline
def moments_of_block[
    dtype: DType, width: Int, held: Int, //
](row: BlockRow[dtype, width, held], places: Places[width, ...], eps: Float32) -> Moments:
    """The second pass takes the squares of x - mean, and what the mean has lost to rounding."""
    var sum = Float32(0)

    @always_inline
    def add[h: Int](i: Int) {imm row, mut sum}:
        sum += row.at[h](i).reduce_add()

    places.each(add)
    var shift = block_sum(sum) / Float32(places.d)
    var total = SIMD[F32, 2](0)

    @always_inline
    def add_squares[h: Int](i: Int) {imm row, var shift, mut total}:
        var v = row.at[h](i) - shift
        total[0] += v.reduce_add()
        comptime for k in range(width):
            total[1] = v[k].fma(v[k], total[1])

    places.each(add_squares)
    total = block_sum(total)
    return Moments(shift, total[0], total[1], places.d, eps)
