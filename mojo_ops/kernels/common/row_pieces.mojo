"""Elementwise loops that know row and column, without a division for each element.

Work is counted in elements over all rows, so that a few long rows are split over workers like many short
ones.
"""

from max.gpu import block_dim, block_idx, grid_dim, thread_idx
from std.math import ceildiv

from .gpu import BLOCK
from .parallel import split_flat
from .vectors import vector_loop

comptime MAX_GRID = 65535  # of the second dimension; the kernels stride over the rest


@always_inline
def over_rows[
    Body: def[width: Int, stream: Bool](Int, Int) -> None
](body: Body, rows: Int, d: Int, past_cache: Bool = False):
    """Calls `body(row, column)` for all elements of `rows` rows of `d`."""

    def chunk(first: Int, last: Int) {imm}:
        var row = first // d
        var begin = first % d
        var left = last - first
        while left > 0:
            var n = min(left, d - begin)

            @always_inline
            def piece[width: Int, stream: Bool](j: Int) {imm}:
                body[width, stream](row, j)

            vector_loop(piece, begin, begin + n, past_cache)
            left -= n
            begin = 0
            row += 1

    split_flat(chunk, rows * d)


struct GpuRows:
    """A two-dimensional grid over vectors and rows, so that no thread has to divide."""

    var threads_x: Int
    var threads_y: Int
    var blocks_x: Int
    var blocks_y: Int

    def __init__(out self, rows: Int, vectors: Int):
        self.threads_x = 1
        while self.threads_x < BLOCK and self.threads_x < vectors:
            self.threads_x *= 2
        self.threads_y = BLOCK // self.threads_x
        self.blocks_x = ceildiv(vectors, self.threads_x)
        self.blocks_y = min(ceildiv(rows, self.threads_y), MAX_GRID)


struct GpuPlace:
    """The first element of a thread in such a grid, and the distance between its rows."""

    var column: Int
    var row: Int
    var stride: Int

    @always_inline
    def __init__(out self, width: Int):
        self.column = (Int(block_idx.x) * Int(block_dim.x) + Int(thread_idx.x)) * width
        self.row = Int(block_idx.y) * Int(block_dim.y) + Int(thread_idx.y)
        self.stride = Int(grid_dim.y) * Int(block_dim.y)
