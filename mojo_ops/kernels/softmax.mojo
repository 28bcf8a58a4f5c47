"""Op softmax: softmax(scale x + mask) over the last dimension, e^(t - max t) / sum of e^(t - max t).

The scores of attention: Vaswani et al., https://arxiv.org/abs/1706.03762, equation 1. A
row is in the cache when it is read a second time. A row of -inf alone is 0 / 0, NaN, as in PyTorch.
"""

from max.gpu.host.info import is_gpu
from std.memory import stack_allocation
from std.sys import align_of

from .common.broadcast import BroadcastRows, broadcasts
from .common.exp import exp
from .common.larger import larger
from .common.log_sum_exp import (
    INFINITY,
    LOWEST,
    ROW_PARTS,
    RowSums,
    max_and_sum,
    part_of_row,
    part_of_vector,
    parts_of_row,
    write_row,
)
from .common.parallel import split
from .common.rows import Sums, sums_of_row
from .common.scratch import free_floats, new_floats
from .common.gpu_softmax import ALL, NONE, ONE, Scores, softmax_gpu
from .common.stream import prefetch_row, streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import F32, FLOATS, LANES, Ptr, UNROLLED, up

# The exponentials of a row are stored in float32, so that they are computed once: in the
# output where it is float32 and stays in the cache, else in a buffer for rows of up to
# this many elements, which fits into the L2 cache. For longer rows they are computed twice.
comptime MOST_HELD = 1 << 17
comptime ROWS_HELD = 1 << 20  # of all rows together, where they are few


@always_inline
def max_of_row[Score: def[width: Int](Int) -> SIMD[F32, width]](score: Score, n: Int) -> Float32:
    var max = SIMD[F32, UNROLLED](-INFINITY)
    var i = 0
    while i + UNROLLED <= n:
        max = larger(score[UNROLLED](i), max)  # ignores NaN
        i += UNROLLED
    var rest = SIMD[F32, LANES](max.reduce_max())
    while i + LANES <= n:
        rest = larger(score[LANES](i), rest)
        i += LANES
    if i < n:
        rest = larger(part_of_vector(score, i, n, -INFINITY), rest)
    return rest.reduce_max()


@always_inline
def exponentials[
    dtype: DType, //, Score: def[width: Int](Int) -> SIMD[F32, width]
](held: Ptr[F32], score: Score, n: Int, max: Float32, next: Ptr[dtype]) -> Float32:
    """Writes e^(score - max) and returns their sum, which is NaN if a score is. The row at `next` is computed
    after this one.
    """
    var whole = n // LANES * LANES

    @always_inline
    def add[width: Int](i: Int, mut sums: Sums[width, 1]) {imm score, var held, var max, var next}:
        prefetch_row[width](next, i)
        var e = exp(score[width](i) - max)
        held.unsafe_store(i, e)
        sums[0] += e

    var sum = sums_of_row[1](add, whole)[0]
    if whole < n:
        var e = exp(part_of_vector(score, whole, n, -INFINITY) - max)
        for j in range(n - whole):
            held.unsafe_store(whole + j, e[j])
        sum += e.reduce_add()  # a single rounding for all; elements behind the row are 0
    return sum


@always_inline
def softmax_row[
    dtype: DType, //, Score: def[width: Int](Int) -> SIMD[F32, width]
](y: Ptr[dtype], held: Int, score: Score, n: Int, next: Ptr[dtype], stream: Bool):
    """`held`: address of a buffer for the exponentials, or 0."""
    if held:
        var e = Ptr[F32](unsafe_from_address=held)
        write_scaled(y, e, n, 1 / exponentials(e, score, n, max_of_row(score, n), next), stream)
        return
    var sums = max_and_sum[False](score, 0, n)
    var max = sums.max
    var scale = 1 / sums.sum

    @always_inline
    def scaled[width: Int](i: Int) {imm score, var max, var scale} -> SIMD[F32, width]:
        return exp(score[width](i) - max) * scale

    write_row(y, scaled, 0, n, stream)


@always_inline
def write_scaled[
    dtype: DType, //
](y: Ptr[dtype], exponentials: Ptr[F32], n: Int, scale: Float32, stream: Bool):
    @always_inline
    def scaled[width: Int](i: Int) {var exponentials, var scale} -> SIMD[F32, width]:
        return up[width](exponentials, i) * scale

    write_row(y, scaled, 0, n, stream)


def softmax_in_parts[
    dtype: DType, masks: Int, //
](
    y: Ptr[dtype],
    held: Ptr[F32],
    scores: Scores[dtype, masks],
    mask_rows: BroadcastRows,
    rows: Int,
    n: Int,
    parts: Int,
):
    """A few long rows: each is split over threads, first to compute its exponentials, then to write them."""
    var memory = stack_allocation[ROW_PARTS, RowSums]()

    def exponentials_of_parts(
        begin: Int, end: Int
    ) {var y, var held, var memory, var scores, imm mask_rows, var n, var parts}:
        for item in range(begin, end):
            var row = item // parts
            var first = part_of_row(item % parts, parts, n)
            var size = part_of_row(item % parts + 1, parts, n) - first
            var at = row * n + first
            var row_scores = scores.row(at, mask_rows.offset(row) + (first if masks == ALL else 0))

            @always_inline
            def score[width: Int](i: Int) {var row_scores} -> SIMD[F32, width]:
                return row_scores.at[width](i)

            # The maximum of a part that is completely masked must be a number.
            var max = larger(max_of_row(score, size), LOWEST)
            var sum = exponentials(held.unsafe_offset(at), score, size, max, y.unsafe_offset(at))
            memory[unsafe_offset=item] = RowSums(max, sum, 0)

    split(exponentials_of_parts, rows * parts, 2 * rows * n)
    var of_row = stack_allocation[ROW_PARTS, RowSums]()
    for row in range(rows):
        var all = RowSums()
        for item in range(row * parts, (row + 1) * parts):
            all.merge(memory[unsafe_offset=item])
        of_row[unsafe_offset=row] = all

    def write_parts(begin: Int, end: Int) {var y, var held, var memory, var of_row, var n, var parts}:
        for item in range(begin, end):
            var row = of_row[unsafe_offset=item // parts]
            var scale = exp(memory[unsafe_offset=item].max - row.max) / row.sum
            var first = part_of_row(item % parts, parts, n)
            var at = item // parts * n + first
            var size = part_of_row(item % parts + 1, parts, n) - first
            write_scaled(y.unsafe_offset(at), held.unsafe_offset(at), size, scale, False)

    split(write_parts, rows * parts, 2 * rows * n)


def softmax_rows[
    dtype: DType, masks: Int, //
](y: Ptr[dtype], scores: Scores[dtype, masks], mask_rows: BroadcastRows, rows: Int, n: Int, fresh: Bool):
    var parts = parts_of_row(rows, n)
    if parts > 1:
        var held = Int(y)
        comptime if dtype != F32:
            held = new_floats(rows * n) if rows * n <= ROWS_HELD else 0
        if held:
            var e = Ptr[F32](unsafe_from_address=held)
            softmax_in_parts(y, e, scores, mask_rows, rows, n, parts)
            comptime if dtype != F32:
                free_floats(held)
            return
    var past_cache = streams(y, rows * n, 1024, fresh)
    var in_output = dtype == F32 and not past_cache

    def chunk(first: Int, last: Int) {var y, var scores, imm mask_rows, var n, var past_cache, var in_output}:
        var room = 0
        if not in_output and n <= MOST_HELD:
            room = new_floats(n)
        for row in range(first, last):
            var yr = y.unsafe_offset(row * n)
            var row_scores = scores.row(row * n, mask_rows.offset(row))

            @always_inline
            def score[width: Int](i: Int) {var row_scores} -> SIMD[F32, width]:
                return row_scores.at[width](i)

            softmax_row(yr, Int(yr) if in_output else room, score, n, row_scores.next(n), past_cache)
        free_floats(room)

    split(chunk, rows, 2 * rows * n)


def softmax_cpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    mask: Ptr[dtype],
    has_mask: Bool,
    mask_columns: Int,
    mask_rows: BroadcastRows,
    rows: Int,
    n: Int,
    scale: Float32,
    fresh: Bool,
):
    if not has_mask:
        softmax_rows(y, Scores[dtype, NONE](x, mask, scale), mask_rows, rows, n, fresh)
    elif mask_columns == 1 and n > 1:
        softmax_rows(y, Scores[dtype, ONE](x, mask, scale), mask_rows, rows, n, fresh)
    else:
        softmax_rows(y, Scores[dtype, ALL](x, mask, scale), mask_rows, rows, n, fresh)


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "softmax"
    comptime INPUTS: List[StaticString] = ["x", "mask"]
    comptime OPTIONAL: List[StaticString] = ["mask"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS
    comptime IN_PLACE = True

    @staticmethod
    def check(call: Call) raises Message:
        var x = call.input(0)
        call.require_dimension(0)
        call.require_like(1, 0)
        if call.input(1).defined and not broadcasts(call.input(1), x):
            var message = call.refuse_shape(1)
            message.write("one that broadcasts to ")
            message.write_sizes(x.sizes_from(0), x.rank)
            message.write(", the shape of x")
            raise message^

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var mask = call.input(1).pointer[dtype]()
        var has_mask = call.input(1).defined
        var mask_columns = call.input(1).size(call.input(1).rank - 1) if call.input(1).rank else 1
        var mask_rows = BroadcastRows(call.input(1), call.input(0))
        var n = call.input(0).size(call.input(0).rank - 1)
        var rows = call.input(0).numel // n
        var scale = call.real(0)
        comptime if is_gpu[target]():
            softmax_gpu(y, x, mask, has_mask, mask_columns, mask_rows, rows, n, scale, call.device())
        else:
            softmax_cpu(y, x, mask, has_mask, mask_columns, mask_rows, rows, n, scale, call.fresh)
