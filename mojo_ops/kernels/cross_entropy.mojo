"""Op cross_entropy: cross entropy of logits and class indices, and the log-sum-exp of each row.

With lse the logarithm of the sum of e^x over a row, and s the label smoothing (Szegedy
et al., https://arxiv.org/abs/1512.00567, section 7), the loss of a row is
(1 - s) (lse - x[target]) + s (lse - mean(x)). Each row is read once, and nothing as
long as a row is stored.
"""

from max.gpu.host.info import is_gpu
from std.math import log
from std.memory import stack_allocation

from .common.class_targets import (
    F64,
    MEAN,
    NO_REDUCTION,
    Options,
    check_arguments,
    check_values,
    counted,
)
from .common.gpu_cross_entropy import cross_entropy_gpu
from .common.log_sum_exp import ROW_PARTS, RowSums, max_and_sum, part_of_row, parts_of_row
from .common.parallel import split
from .common.torch_abi import FLOAT64
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, FLOATS, Ptr, put, up

# Losses are summed in groups of rows, then over groups, so the result does not depend on the number of threads.
comptime GROUPS = 256


struct Rows[dtype: DType](ImplicitlyCopyable, Movable):
    """Holds addresses, since a struct may not hold such pointers."""

    var logits: Int
    var target: Int
    var lse: Int
    var classes: Int
    var options: Options

    @always_inline
    def __init__(
        out self,
        logits: Ptr[Self.dtype],
        target: Ptr[DType.int64],
        lse: Ptr[F64],
        classes: Int,
        options: Options,
    ):
        self.logits = Int(logits)
        self.target = Int(target)
        self.lse = Int(lse)
        self.classes = classes
        self.options = options

    @always_inline
    def row(self, i: Int) -> Ptr[Self.dtype]:
        return Ptr[Self.dtype](unsafe_from_address=self.logits).unsafe_offset(i * self.classes)

    @always_inline
    def sums_of(self, i: Int, first: Int, last: Int) -> RowSums:
        var x = self.row(i)

        @always_inline
        def value[width: Int](j: Int) {var x} -> SIMD[F32, width]:
            return up[width](x, j)

        if self.options.smoothing == 0:
            return max_and_sum[False](value, first, last)
        return max_and_sum[True](value, first, last)

    @always_inline
    def loss_from(self, sums: RowSums, i: Int) -> Float32:
        """The loss of a row, which is 0 if its target is ignored; always stores its lse."""
        var log_sum = log(sums.sum)
        Ptr[F64](unsafe_from_address=self.lse).unsafe_store(i, Float64(sums.max) + Float64(log_sum))
        var target = Int(Ptr[DType.int64](unsafe_from_address=self.target).unsafe_load(i))
        if target == self.options.ignore_index:
            return 0
        # Not lse - x[target]: where both are large and close, their difference cancels.
        var loss = sums.max - up[1](self.row(i), target)[0] + log_sum
        var s = self.options.smoothing
        if s == 0:
            return loss
        return (1 - s) * loss + s * (sums.max - sums.total / Float32(self.classes) + log_sum)


def losses[dtype: DType, //](rows: Rows[dtype], loss: Ptr[dtype], n: Int) -> Float64:
    """Computes the sum over groups of rows, or the loss of each row without reduction."""
    if rows.options.reduction == NO_REDUCTION:

        def row_chunk(first: Int, last: Int) {var}:
            for i in range(first, last):
                put[1](loss, i, rows.loss_from(rows.sums_of(i, 0, rows.classes), i))

        split(row_chunk, n, 2 * n * rows.classes)
        return 0
    var sums = stack_allocation[GROUPS, DType.float64]()
    var size = max(1, (n + GROUPS - 1) // GROUPS)
    var groups = (n + size - 1) // size

    def group_chunk(first: Int, last: Int) {var}:
        for group in range(first, last):
            var sum = Float64(0)
            for i in range(group * size, min(n, (group + 1) * size)):
                sum += Float64(rows.loss_from(rows.sums_of(i, 0, rows.classes), i))
            sums.unsafe_store(group, sum)

    split(group_chunk, groups, 2 * n * rows.classes)
    var sum = Float64(0)
    for group in range(groups):
        sum += sums.unsafe_load(group)
    return sum


def losses_in_parts[dtype: DType, //](rows: Rows[dtype], loss: Ptr[dtype], n: Int, parts: Int) -> Float64:
    """Does the same for a few long rows, each of which is split over threads."""
    var sums = stack_allocation[ROW_PARTS, RowSums]()

    def chunk(begin: Int, end: Int) {var}:
        for item in range(begin, end):
            var part = item % parts
            var first = part_of_row(part, parts, rows.classes)
            sums[unsafe_offset=item] = rows.sums_of(
                item // parts, first, part_of_row(part + 1, parts, rows.classes)
            )

    split(chunk, n * parts, 2 * n * rows.classes)
    var sum = Float64(0)
    for i in range(n):
        var all = RowSums()
        for item in range(i * parts, (i + 1) * parts):
            all.merge(sums[unsafe_offset=item])
        var row_loss = rows.loss_from(all, i)
        sum += Float64(row_loss)
        if rows.options.reduction == NO_REDUCTION:
            put[1](loss, i, row_loss)
    return sum


def cross_entropy_cpu[
    dtype: DType, //
](
    loss: Ptr[dtype],
    lse: Ptr[F64],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    n: Int,
    classes: Int,
    options: Options,
):
    var rows = Rows[dtype](logits, target, lse, classes, options)
    var parts = parts_of_row(n, classes)
    var sum = losses_in_parts(rows, loss, n, parts) if parts > 1 else losses(rows, loss, n)
    if options.reduction == NO_REDUCTION:
        return
    if options.reduction == MEAN:
        sum /= Float64(counted(target, n, options.ignore_index))  # NaN for no rows, as in PyTorch
    put[1](loss, 0, Float32(sum))


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "cross_entropy"
    comptime INPUTS: List[StaticString] = ["logits", "target"]
    comptime OUTPUTS: List[StaticString] = ["loss", "lse"]
    comptime SCALARS = 3
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_arguments(call, 0, 1)
        check_values(call, 0, 1)

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(0), 1 if output or call.integer(2) == NO_REDUCTION else 0)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the rows of logits" if output else "the rows of logits for reduction 0, else a scalar"

    @staticmethod
    def output_dtype(call: Call, output: Int) -> Int32:
        return FLOAT64 if output else call.input(0).dtype

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var loss = call.output(0).pointer[dtype]()
        var lse = call.output(1).pointer[F64]()
        var logits = call.input(0).pointer[dtype]()
        var targets = call.input(1).pointer[DType.int64]()
        var rows = call.input(0).size(0)
        var classes = call.input(0).size(1)
        comptime if is_gpu[target]():
            cross_entropy_gpu(loss, lse, logits, targets, rows, classes, Options(call), call.device())
        else:
            cross_entropy_cpu(loss, lse, logits, targets, rows, classes, Options(call))
