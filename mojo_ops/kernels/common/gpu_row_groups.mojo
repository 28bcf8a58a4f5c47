"""One row of a tensor for one group of GPU threads: a warp where rows are short, so that
a block processes several of them, else the block.
"""

from max.gpu import WARP_SIZE, block_idx, grid_dim, thread_idx
from max.gpu.primitives import warp

from .exp import exp
from .gpu import BLOCK
from .gpu_block import block_max, block_sum
from .vectors import F32

comptime WARP_ROW = 1024  # elements of the longest row that one warp does
comptime HELD = 4  # vectors of a row that a thread of a block keeps
comptime MANY_THREADS = 1024
comptime MAX_GRID = 65535 * 16  # kernels stride over the rest


struct RowGroup[is_warp: Bool, threads: Int]:
    """`threads` are those of a block."""

    @staticmethod
    @always_inline
    def lane() -> Int:
        return Int(thread_idx.x) % WARP_SIZE if Self.is_warp else Int(thread_idx.x)

    @staticmethod
    @always_inline
    def width() -> Int:
        return WARP_SIZE if Self.is_warp else Self.threads

    @staticmethod
    @always_inline
    def held[width: Int, tensors: Int = 1]() -> Int:
        """Vectors of a row of each of `tensors` that a thread keeps in its registers. At 1,024 threads it has 64.
        """
        comptime if Self.is_warp:
            return WARP_ROW // width // WARP_SIZE
        elif Self.threads < MANY_THREADS or width < 8:
            return HELD
        else:
            return 3 if tensors == 1 else 2

    @staticmethod
    @always_inline
    def first_row() -> Int:
        comptime if Self.is_warp:
            return (Int(block_idx.x) * Self.threads + Int(thread_idx.x)) // WARP_SIZE
        else:
            return Int(block_idx.x)

    @staticmethod
    @always_inline
    def row_step() -> Int:
        return Int(grid_dim.x) * Self.threads // WARP_SIZE if Self.is_warp else Int(grid_dim.x)

    @staticmethod
    @always_inline
    def max(x: Float32) -> Float32:
        """Over the group, in each of its threads."""
        comptime if Self.is_warp:
            return warp.max(x)
        else:
            return block_max(x)

    @staticmethod
    @always_inline
    def sum(x: Float32) -> Float32:
        comptime if Self.is_warp:
            return warp.sum(x)
        else:
            return block_sum(x)


@always_inline
def for_row_groups[
    Launch: def[is_warp: Bool, threads: Int](Int) raises -> None
](launch: Launch, rows: Int, n: Int, width: Int) raises:
    """Calls `launch[is_warp, threads](blocks)` with the group that suits rows of n elements, read `width` at a time.
    """
    if n <= WARP_ROW:
        # Counted for 32 lanes; where a warp has 64, half of the groups find no row.
        comptime ROWS = BLOCK // 32
        launch[True, BLOCK](min((rows + ROWS - 1) // ROWS, MAX_GRID))
    elif n <= BLOCK * HELD * width:
        launch[False, BLOCK](min(rows, MAX_GRID))
    else:
        launch[False, MANY_THREADS](min(rows, MAX_GRID))


struct ThreadSums[width: Int](Movable):
    """The running maximum of the values of a thread, at least the lowest finite number, and the
    sum of e^(v - max), NaN where one is NaN or +inf (Milakov and Gimelshein 2018, arXiv:1805.02867)."""

    var max: Float32
    var sum: SIMD[F32, Self.width]

    @always_inline
    def __init__(out self):
        self.max = Float32.MIN_FINITE
        self.sum = 0

    @always_inline
    def add(mut self, v: SIMD[F32, Self.width]):
        var top = max(self.max, v.reduce_max())  # passes over a NaN
        self.sum = self.sum.fma(SIMD[F32, Self.width](exp(self.max - top)), exp(v - top))
        self.max = top

    @always_inline
    def over[is_warp: Bool, threads: Int](mut self) -> Float32:
        """The sum over the group; `max` becomes that of the group."""
        var top = RowGroup[is_warp, threads].max(self.max)
        var sum = self.sum.reduce_add() * exp(self.max - top)
        self.max = top
        return RowGroup[is_warp, threads].sum(sum)
