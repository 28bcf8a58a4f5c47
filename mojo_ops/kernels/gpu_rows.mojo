"""What the norms share on a GPU: a block does a row, which stays in its registers."""

from max.gpu import thread_idx
from std.sys import align_of

from .common import F32, Ptr, up
from .gpu_block import block_sum
from .rows import Moments

comptime HELD = 4  # vectors of a row that a thread keeps


struct BlockRow[dtype: DType, width: Int, threads: Int, held: Int](Movable):
    """A row of `d` elements, a multiple of `width`. What does not fit into the
    registers is read again, from the second-level cache."""

    comptime ALIGNMENT = Self.width * align_of[Self.dtype]()

    var row: Pointer[Scalar[Self.dtype], MutUntrackedOrigin]
    var d: Int
    var values: Array[SIMD[Self.dtype, Self.width], Self.held]

    @always_inline
    def __init__(out self, row: Ptr[Self.dtype], d: Int):
        self.row = row.unsafe_origin_cast[MutUntrackedOrigin]()
        self.d = d
        self.values = Array[SIMD[Self.dtype, Self.width], Self.held](fill=0)
        comptime for h in range(Self.held):
            if self.place(h) < d:
                self.values[h] = row.unsafe_load[width=Self.width, alignment=Self.ALIGNMENT](self.place(h))

    @always_inline
    def place(self, h: Int) -> Int:
        """Where vector `h` of this thread begins in the row."""
        return (Int(thread_idx.x) + h * Self.threads) * Self.width

    @always_inline
    def each[Body: def(SIMD[F32, Self.width], Int) -> None](self, body: Body):
        """Calls `body(elements, i)` for the vectors of this thread."""
        comptime for h in range(Self.held):
            if self.place(h) < self.d:
                body(self.values[h].cast[F32](), self.place(h))
        for i in range(self.place(Self.held), self.d, Self.threads * Self.width):
            body(up[Self.width, Self.ALIGNMENT](self.row.unsafe_origin_cast[MutAnyOrigin](), i), i)


@always_inline
def mean_of_block[
    dtype: DType, width: Int, threads: Int, held: Int, //
](row: BlockRow[dtype, width, threads, held], d: Int) -> Float32:
    var sum = SIMD[F32, width](0)

    @always_inline
    def add(v: SIMD[F32, width], i: Int) {mut sum}:
        sum += v

    row.each(add)
    return block_sum(sum.reduce_add()) / Float32(d)


@always_inline
def moments_of_block[
    dtype: DType, width: Int, threads: Int, held: Int, //
](row: BlockRow[dtype, width, threads, held], d: Int, eps: Float32) -> Moments:
    """The second pass takes the squares of x - mean, and what the mean has lost to rounding."""
    var shift = mean_of_block(row, d)
    var sum = SIMD[F32, width](0)
    var squares = SIMD[F32, width](0)

    @always_inline
    def add(x: SIMD[F32, width], i: Int) {var shift, mut sum, mut squares}:
        var v = x - shift
        sum += v
        squares = v.fma(v, squares)

    row.each(add)
    var total = block_sum(SIMD[F32, 2](sum.reduce_add(), squares.reduce_add()))
    return Moments(shift, total[0], total[1], d, eps)
