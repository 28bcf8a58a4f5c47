"""Op cross_entropy_backward: the gradient of cross_entropy by the logits.

With p = e^(x - lse), the share g of the gradient that comes to the row (divided by the
number of targets that are not ignored for the mean) and label smoothing s it is
g (p - s / classes), and g (1 - s) less at the target; 0 in the rows of ignored targets.
"""

from max.gpu import block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.memory import Pointer
from std.sys import align_of, size_of
from std.utils.numerics import nan

from .common.class_targets import (
    F64,
    MEAN,
    NO_REDUCTION,
    Options,
    check_arguments,
    check_values,
    counted,
)
from .common.gpu_cross_entropy import RowParts, counted_by_block
from .common.exp import exp
from .common.gpu import BLOCK, VECTOR_BYTES, gpu_width
from .common.gpu_row_groups import MANY_THREADS, MAX_GRID
from .common.log_sum_exp import part_of_row, parts_of_row, write_row
from .common.parallel import split
from .common.stream import streams
from .common.torch_abi import FLOAT64
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, FLOATS, Ptr, put, up

comptime SLICE = 4  # vectors of a GPU thread


@always_inline
def gradient_at_target(p: Float32, grad: Float32, n: Int, smoothing: Float32) -> Float32:
    var s = Float64(smoothing)
    return Float32(((Float64(p) - 1) + (s - s / Float64(n))) * Float64(grad))


@always_inline
def gradient_part[
    dtype: DType, //
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    first: Int,
    last: Int,
    n: Int,
    lse: Float64,
    grad: Float32,
    target: Int,
    smoothing: Float32,
    stream: Bool,
):
    """The element of the target is written separately from the two parts of its row, so that the loop need
    not test for it. It is computed in float64, because with one class or much smoothing it is a small
    difference of numbers near one.
    """
    var uniform = grad * smoothing / Float32(n)
    # In two parts: a single float32 would cost p as many digits as lse has before the point.
    var high = Float32(lse)
    var low = Float32(lse - Float64(high))

    @always_inline
    def gradient[width: Int](i: Int) {var} -> SIMD[F32, width]:
        return exp(up[width](x, i) - high - low).fma(SIMD[F32, width](grad), SIMD[F32, width](-uniform))

    if target < first or target >= last:
        write_row(y, gradient, first, last, stream)
        return
    var p = exp(up[1](x, target) - high - low)
    write_row(y, gradient, first, target, stream)
    put[1](y, target, gradient_at_target(p, grad, n, smoothing))
    write_row(y, gradient, target + 1, last, stream)


def cross_entropy_backward_cpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    grad: Ptr[dtype],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    lse: Ptr[F64],
    rows: Int,
    n: Int,
    options: Options,
    fresh: Bool,
):
    var share = Float32(1)
    if options.reduction == MEAN:
        share = 1 / Float32(counted(target, rows, options.ignore_index))
    var per_row = options.reduction == NO_REDUCTION
    var past_cache = streams(y, rows * n, 1024, fresh)
    var parts = parts_of_row(rows, n)

    def chunk(begin: Int, end: Int) {var}:
        for item in range(begin, end):
            var row = item // parts
            var part = item % parts
            var first = part_of_row(part, parts, n)
            var last = part_of_row(part + 1, parts, n)
            var yr = y.unsafe_offset(row * n)
            var t = Int(target.unsafe_load(row))
            if t == options.ignore_index:

                @always_inline
                def zero[width: Int](i: Int) {} -> SIMD[F32, width]:
                    return 0

                write_row(yr, zero, first, last, past_cache)
                continue
            var g = up[1](grad, row if per_row else 0)[0] * share
            gradient_part(
                yr,
                logits.unsafe_offset(row * n),
                first,
                last,
                n,
                lse.unsafe_load(row),
                g,
                t,
                options.smoothing,
                past_cache,
            )

    split(chunk, rows * parts, 2 * rows * n)


def share_kernel(share: Ptr[F32], target: Ptr[DType.int64], rows: Int64, ignore_index: Int64):
    """One block: 1 / the number of targets that are not ignored."""
    var counted = counted_by_block(target, rows, ignore_index)
    if thread_idx.x == 0:
        share.unsafe_store(0, 1 / counted)


def cross_entropy_backward_kernel[
    dtype: DType, width: Int
](
    y: Ptr[dtype],
    grad: Ptr[dtype],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    lse: Ptr[F64],
    share: Int64,
    rows: Int64,
    classes: Int64,
    slices: Int64,
    smoothing: Float32,
    ignore_index: Int64,
    reduction: Int64,
):
    """Each row is cut into slices, so that a few rows also fill the GPU. A target that is out of range makes
    its row NaN. `share`: address of the factor of the gradient, or 0."""
    comptime alignment = width * align_of[dtype]()
    var n = Int(classes)
    var thread = Int(thread_idx.x)
    for item in range(Int(block_idx.x), Int(rows * slices), Int(grid_dim.x)):
        var row = item // Int(slices)
        var slice = item % Int(slices)
        var x = logits.unsafe_offset(row * n)
        var yr = y.unsafe_offset(row * n)
        var t = target.unsafe_load(row)
        var parts = RowParts(x, n, width)
        var ignored = t == ignore_index
        var g = up[1](grad, row if reduction == Int64(NO_REDUCTION) else 0)[0]
        if share:
            g *= Ptr[F32](unsafe_from_address=Int(share)).unsafe_load(0)
        if t < 0 or t >= classes:
            g = nan[F32]()
        var uniform = g * smoothing / Float32(n)
        var high = Float32(lse.unsafe_load(row))
        var low = Float32(lse.unsafe_load(row) - Float64(high))

        @always_inline
        def write[w: Int, alignment: Int](i: Int) {var}:
            if ignored:
                put[w, alignment](yr, i, SIMD[F32, w](0))
                return
            var p = exp(up[w, alignment](x, i) - high - low)
            var v = p.fma(SIMD[F32, w](g), SIMD[F32, w](-uniform))
            comptime for k in range(w):
                if Int64(i + k) == t:
                    v[k] = gradient_at_target(p[k], g, n, smoothing)
            put[w, alignment](yr, i, v)

        if slice == 0 and thread < parts.head:
            write[1, align_of[dtype]()](thread)
        var first = slice * BLOCK * SLICE
        for i in range(first + thread, min(first + BLOCK * SLICE, parts.vectors), BLOCK):
            write[width, alignment](parts.head + i * width)
        if slice == Int(slices) - 1 and thread < parts.tail:
            write[1, align_of[dtype]()](n - 1 - thread)


def cross_entropy_backward_gpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    grad: Ptr[dtype],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    lse: Ptr[F64],
    rows: Int,
    n: Int,
    options: Options,
    ctx: DeviceContext,
) raises:
    var buffer = ctx.enqueue_create_buffer[F32](1)
    var share = buffer.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]()
    var divided = options.reduction == MEAN
    if divided:
        ctx.enqueue_function[share_kernel](
            share, target, Int64(rows), Int64(options.ignore_index), grid_dim=1, block_dim=MANY_THREADS
        )

    @always_inline
    def launch[width: Int]() raises {imm}:
        comptime slice = BLOCK * SLICE * width
        var slices = (n + slice - 1) // slice
        ctx.enqueue_function[cross_entropy_backward_kernel[dtype, width]](
            y,
            grad,
            logits,
            target,
            lse,
            Int64(Int(share) if divided else 0),
            Int64(rows),
            Int64(n),
            Int64(slices),
            options.smoothing,
            Int64(options.ignore_index),
            Int64(options.reduction),
            grid_dim=min(rows * slices, MAX_GRID),
            block_dim=BLOCK,
        )

    # A vector of the logits must be aligned in the result too, whatever the alignment of the row.
    if (Int(y) - Int(logits)) % VECTOR_BYTES == 0:
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()
    _ = buffer^


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "cross_entropy_backward"
    comptime INPUTS: List[StaticString] = ["grad", "logits", "target", "lse"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 3
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        check_arguments(call, 1, 2)
        var logits = call.input(1)
        call.require_device(3, 0)
        call.require_dtype(3, FLOAT64)
        if call.integer(2) == NO_REDUCTION:
            call.require_sizes(0, logits.sizes_from(0), 1, "the rows of logits")
        else:
            call.require_sizes(0, logits.sizes_from(0), 0, "a scalar")
        call.require_sizes(3, logits.sizes_from(0), 1, "the rows of logits")
        check_values(call, 1, 2)

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(1), 2)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of logits"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var logits = call.input(1).pointer[dtype]()
        var targets = call.input(2).pointer[DType.int64]()
        var lse = call.input(3).pointer[F64]()
        var rows = call.input(1).size(0)
        var n = call.input(1).size(1)
        var options = Options(call)
        comptime if is_gpu[target]():
            cross_entropy_backward_gpu(y, grad, logits, targets, lse, rows, n, options, call.device())
        else:
            cross_entropy_backward_cpu(y, grad, logits, targets, lse, rows, n, options, call.fresh)
