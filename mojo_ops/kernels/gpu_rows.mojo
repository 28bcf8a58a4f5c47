"""What the norms share on a GPU: a block does a row, which stays in its registers."""

from max.gpu import block_dim, thread_idx
from std.math import ceildiv
from std.sys import align_of

from .common import F32, Ptr, up
from .gpu_block import block_sum
from .rows import Moments

comptime HELD = 4  # vectors of a row that a thread keeps
comptime USUAL = 2  # of them in rows for which a block has threads enough
comptime MOST_THREADS = 1024  # of a block; a thread then has 64 registers
comptime WHOLE_WARPS = 64  # threads: a multiple of the lanes of a warp on every GPU


@always_inline
def threads_for_row(d: Int, width: Int, vectors: Int = USUAL, most: Int = MOST_THREADS) -> Int:
    """Threads of a block for rows of `d` elements: `vectors` of `width` elements for each, more where `most` threads
    do not suffice."""
    return min(most, ceildiv(d, width * vectors * WHOLE_WARPS) * WHOLE_WARPS)


struct Places[width: Int, count: Int, fits: Bool = False](ImplicitlyCopyable, Movable):
    """Where the vectors of this thread begin in a row of `d` elements, a multiple of `width`. The first `count` have
    a number, with which they find their registers. `fits`: rows are never longer than that, which saves the loop.
    """

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
        comptime if not Self.fits:
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
    var sum = SIMD[F32, width](0)

    @always_inline
    def add[h: Int](i: Int) {imm row, mut sum}:
        sum += row.at[h](i)

    places.each(add)
    var shift = block_sum(sum.reduce_add()) / Float32(places.d)
    var rest = SIMD[F32, width](0)
    var squares = SIMD[F32, width](0)

    @always_inline
    def add_squares[h: Int](i: Int) {imm row, var shift, mut rest, mut squares}:
        var v = row.at[h](i) - shift
        rest += v
        squares = v.fma(v, squares)

    places.each(add_squares)
    var total = block_sum(SIMD[F32, 2](rest.reduce_add(), squares.reduce_add()))
    return Moments(shift, total[0], total[1], places.d, eps)
