"""Op rms_norm_backward: the gradients of rms_norm.

With s = 1 / sqrt(mean(x^2) + eps) and q = grad * weight:

    grad_x = s q - x s^3 mean(q x)
    grad_weight = sum(grad x s)

the mean over a row, the sum over all rows (Zhang and Sennrich,
https://arxiv.org/abs/1910.07467, equation 4, differentiated). s is computed
again: one pass gives it with the mean, a second one the gradients.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx, grid_dim
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import sqrt
from std.utils import StaticTuple

from .common.gpu import aligned, gpu_width
from .common.gpu_block import block_sum
from .common.gpu_row_gradients import BlockGradients, MOST_THREADS, sum_over_blocks
from .common.gpu_rows import BlockRow, Places
from .common.row_gradients import (
    Addresses,
    along_lines,
    check_gradient,
    sum_of_rows,
    sum_over_rows,
)
from .common.rows import Sums, sums_of_row
from .common.stream import prefetch_row, streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, F32, Ptr, put, up


@fieldwise_init
struct Factors(ImplicitlyCopyable, Movable):
    """Of a row: grad_x = q * scale - x * along."""

    var scale: Float32
    var along: Float32

    @always_inline
    def __init__(out self, squares: Float32, products: Float32, d: Int, eps: Float32):
        """From the sums of x^2 and of q * x over the row."""
        self.scale = 1 / sqrt(squares / Float32(d) + eps)
        self.along = self.scale * self.scale * (self.scale * products / Float32(d))


@always_inline
def factors_of[
    dtype: DType, //
](grad: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], d: Int, eps: Float32) -> Factors:
    @always_inline
    def terms[width: Int](i: Int, mut sums: Sums[width, 2]) {var}:
        var v = up[width](x, i)
        sums[0] = v.fma(v, sums[0])
        sums[1] = (up[width](grad, i) * up[width](w, i)).fma(v, sums[1])

    var sums = sums_of_row[2](terms, d)
    return Factors(sums[0], sums[1], d, eps)


def rms_norm_backward_cpu[
    dtype: DType, //
](
    grad_x: Ptr[dtype],
    grad_weight: Ptr[dtype],
    grad: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    rows: Int,
    d: Int,
    eps: Float32,
    fresh: Bool,
):
    var past_cache = streams(grad_x, rows * d, d, fresh)

    @always_inline
    def do_rows[n: Int](row: Int, sums: Ptr[F32]) {var}:
        var gr = grad.unsafe_offset(row * d)
        var xr = x.unsafe_offset(row * d)
        var yr = grad_x.unsafe_offset(row * d)
        var factors = Array[Factors, n](uninitialized=True)
        comptime for r in range(n):
            factors[r] = factors_of(gr.unsafe_offset(r * d), xr.unsafe_offset(r * d), w, d, eps)

        @always_inline
        def body[width: Int, stream: Bool](i: Int) {imm factors, var}:
            var wi = up[width](w, i)
            var products = Array[SIMD[F32, width], n](fill=0)
            comptime for r in range(n):
                prefetch_row[width](gr, (r + n) * d + i)
                prefetch_row[width](xr, (r + n) * d + i)
                var g = up[width](gr, r * d + i) * factors[r].scale
                var v = up[width](xr, r * d + i)
                products[r] = g * v
                put[width, stream=stream](yr, r * d + i, g.fma(wi, -(v * factors[r].along)))
            put[width](sums, i, up[width](sums, i) + sum_of_rows(products))

        along_lines[dtype](body, d, past_cache)

    var gradients: Addresses[1] = [Int(grad_weight)]
    sum_over_rows[dtype, 1](do_rows, gradients, rows, d)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MOST_THREADS)))
def rms_norm_backward_kernel[
    dtype: DType, width: Int, vectors: Int
](
    grad_x: Ptr[dtype],
    sums: Ptr[F32],
    grad: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    rows: Int64,
    columns: Int64,
    eps: Float32,
):
    """A block does every grid_dim-th row, and loads what it keeps of the next one before the barriers of this one.
    """
    comptime Row = BlockRow[dtype, width, vectors if Places[width, vectors].FITS else 0]
    var d = Int(columns)
    var places = Places[width, vectors](d)
    var gradients = BlockGradients[1](sums, places)
    var weight = Row(w, places)
    var next_x = weight.copy()
    var next_grad = weight.copy()
    if Int(block_idx.x) < Int(rows):
        next_x = Row(x.unsafe_offset(Int(block_idx.x) * d), places)
        next_grad = Row(grad.unsafe_offset(Int(block_idx.x) * d), places)
    for row in range(Int(block_idx.x), Int(rows), Int(grid_dim.x)):
        var row_x = next_x.copy()
        var row_grad = next_grad.copy()
        var yr = grad_x.unsafe_offset(row * d)
        var after = row + Int(grid_dim.x)
        if after < Int(rows):
            next_x = Row(x.unsafe_offset(after * d), places)
            next_grad = Row(grad.unsafe_offset(after * d), places)
        var total = SIMD[F32, 2](0)

        @always_inline
        def count[h: Int](i: Int) {imm row_x, imm row_grad, imm weight, mut total}:
            var v = row_x.at[h](i)
            var q = row_grad.at[h](i) * weight.at[h](i)
            comptime for k in range(width):
                total[0] = v[k].fma(v[k], total[0])
                total[1] = q[k].fma(v[k], total[1])

        places.each(count)
        total = block_sum(total)
        var factors = Factors(total[0], total[1], d, eps)

        @always_inline
        def write[h: Int](i: Int) {imm row_x, imm row_grad, imm weight, var factors, var yr, mut gradients}:
            var g = row_grad.at[h](i) * factors.scale
            var v = row_x.at[h](i)
            var wi = weight.at[h](i)
            comptime for plane in range(gradients.PLANES):
                comptime STEP = gradients.STEP
                comptime FIRST = plane * STEP
                var part = g.slice[STEP, offset=FIRST]()
                var x_part = v.slice[STEP, offset=FIRST]()
                gradients.add[0, h, plane](i, part, x_part)
                v = v.insert[offset=FIRST](
                    part.fma(wi.slice[STEP, offset=FIRST](), -(x_part * factors.along))
                )
            put[width, Row.ALIGNMENT](yr, i, v)

        places.each(write)
    gradients.finish()


def rms_norm_backward_gpu[
    dtype: DType, //
](
    grad_x: Ptr[dtype],
    grad_weight: Ptr[dtype],
    grad: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    rows: Int,
    d: Int,
    eps: Float32,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int, vectors: Int](sums: Ptr[F32], blocks: Int, threads: Int) raises {var, imm ctx}:
        ctx.enqueue_function[rms_norm_backward_kernel[dtype, width, vectors]](
            grad_x,
            sums,
            grad,
            x,
            w,
            Int64(rows),
            Int64(d),
            eps,
            grid_dim=blocks,
            block_dim=threads,
        )

    var gradients: Addresses[1] = [Int(grad_weight)]
    var whole = (
        d % gpu_width[dtype]() == 0 and aligned(grad_x) and aligned(grad) and aligned(x) and aligned(w)
    )
    sum_over_blocks[dtype, 1](launch, gradients, rows, d, whole, ctx)


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "rms_norm_backward"
    comptime INPUTS: List[StaticString] = ["grad", "x", "weight"]
    comptime OUTPUTS: List[StaticString] = ["grad_x", "grad_weight"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_gradient(call)

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(2), 1) if output else Shape(call.input(1), call.input(1).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of weight" if output else "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var grad_x = call.output(0).pointer[dtype]()
        var grad_weight = call.output(1).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var x = call.input(1).pointer[dtype]()
        var w = call.input(2).pointer[dtype]()
        var d = call.input(2).numel
        var rows = call.input(1).numel // d
        var eps = call.real(0)
        comptime if is_gpu[target]():
            rms_norm_backward_gpu(grad_x, grad_weight, grad, x, w, rows, d, eps, call.device())
        else:
            rms_norm_backward_cpu(grad_x, grad_weight, grad, x, w, rows, d, eps, call.fresh)
