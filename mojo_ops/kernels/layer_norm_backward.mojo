"""Op layer_norm_backward: the gradients of layer_norm.

With h = (x - mean) / sqrt(var + eps), the normalised row, and q = grad * weight:

    grad_x = (q - mean(q) - h mean(q h)) / sqrt(var + eps)
    grad_weight = sum(grad h)
    grad_bias = sum(grad)

the means over a row, the sums over all rows (Ba, Kiros and Hinton,
https://arxiv.org/abs/1607.06450, equation 4, differentiated). The moments are
computed again: one pass gives them with the two means, a second one the gradients.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx, grid_dim
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.utils import StaticTuple

from .common.gpu import aligned, gpu_width
from .common.gpu_block import block_sum
from .common.gpu_row_gradients import BlockGradients, MOST_THREADS, sum_over_blocks
from .common.gpu_rows import BlockRow, Places
from .common.row_gradients import (
    Addresses,
    along_lines,
    check_gradient,
    padded,
    sum_of_rows,
    sum_over_rows,
)
from .common.rows import Moments, Sums, moments_of
from .common.stream import prefetch_row, streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, F32, Ptr, put, up


@fieldwise_init
struct Factors(ImplicitlyCopyable, Movable):
    """Of a row: grad_x = (q - mean - h * along) * scale."""

    var moments: Moments
    var mean: Float32
    var along: Float32

    @always_inline
    def __init__(out self, m: Moments, sum: Float32, product: Float32, d: Int):
        """From the sums of q and of q * (x - shift) over the row."""
        self.moments = m
        if d == 1:
            self.moments.scale = 0  # a row of one value has no gradient, also not by rounding
        self.mean = sum / Float32(d)
        self.along = (product * m.scale + sum * m.offset) / Float32(d)

    @always_inline
    def grad_x[
        width: Int, //
    ](self, g: SIMD[F32, width], w: SIMD[F32, width], h: SIMD[F32, width]) -> SIMD[F32, width]:
        var rest = g.fma(w, SIMD[F32, width](-self.mean))
        return h.fma(SIMD[F32, width](-self.along), rest) * self.moments.scale


@always_inline
def factors_of[
    dtype: DType, //
](grad: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], d: Int, eps: Float32) -> Factors:
    @always_inline
    def more[width: Int](i: Int, v: SIMD[F32, width], mut sums: Sums[width, 4]) {var}:
        var q = up[width](grad, i) * up[width](w, i)
        sums[2] += q
        sums[3] = q.fma(v, sums[3])

    var sums = Array[Float32, 4](fill=0)
    var m = moments_of[4](x, d, eps, sums, more)
    return Factors(m, sums[2], sums[3], d)


def layer_norm_backward_cpu[
    dtype: DType, //
](
    grad_x: Ptr[dtype],
    grad_weight: Ptr[dtype],
    grad_bias: Ptr[dtype],
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
        var for_bias = sums.unsafe_offset(padded(d))
        var factors = Array[Factors, n](uninitialized=True)
        comptime for r in range(n):
            factors[r] = factors_of(gr.unsafe_offset(r * d), xr.unsafe_offset(r * d), w, d, eps)

        @always_inline
        def body[width: Int, stream: Bool](i: Int) {imm factors, var}:
            var wi = up[width](w, i)
            var products = Array[SIMD[F32, width], n](fill=0)
            var grads = Array[SIMD[F32, width], n](fill=0)
            comptime for r in range(n):
                prefetch_row[width](gr, (r + n) * d + i)
                prefetch_row[width](xr, (r + n) * d + i)
                var g = up[width](gr, r * d + i)
                var h = factors[r].moments.normalised(up[width](xr, r * d + i))
                products[r] = g * h
                grads[r] = g
                put[width, stream=stream](yr, r * d + i, factors[r].grad_x(g, wi, h))
            put[width](sums, i, up[width](sums, i) + sum_of_rows(products))
            put[width](for_bias, i, up[width](for_bias, i) + sum_of_rows(grads))

        along_lines[dtype](body, d, past_cache)

    var gradients: Addresses[2] = [Int(grad_weight), Int(grad_bias)]
    sum_over_rows[dtype, 2](do_rows, gradients, rows, d)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MOST_THREADS)))
def layer_norm_backward_kernel[
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
    var gradients = BlockGradients[2](sums, places)
    var weight = BlockRow[dtype, width, 0](w, places)
    var next_x = Row(w, places)
    var next_grad = next_x.copy()
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
        var sum = Float32(0)

        @always_inline
        def add[h: Int](i: Int) {imm row_x, mut sum}:
            sum += row_x.at[h](i).reduce_add()

        places.each(add)
        var shift = block_sum(sum) / Float32(d)
        var total = SIMD[F32, 4](0)

        @always_inline
        def count[h: Int](i: Int) {imm row_x, imm row_grad, imm weight, var shift, mut total}:
            var away = row_x.at[h](i) - shift
            var q = row_grad.at[h](i) * weight.at[h](i)
            comptime for k in range(width):
                total[0] += away[k]
                total[1] = away[k].fma(away[k], total[1])
                total[2] += q[k]
                total[3] = q[k].fma(away[k], total[3])

        places.each(count)
        total = block_sum(total)
        var factors = Factors(Moments(shift, total[0], total[1], d, eps), total[2], total[3], d)

        @always_inline
        def write[h: Int](i: Int) {imm row_x, imm row_grad, imm weight, var factors, var yr, mut gradients}:
            var g = row_grad.at[h](i)
            var v = row_x.at[h](i)
            var wi = weight.at[h](i)
            comptime for plane in range(gradients.PLANES):
                comptime STEP = gradients.STEP
                comptime FIRST = plane * STEP
                var part = g.slice[STEP, offset=FIRST]()
                var normalised = factors.moments.normalised(v.slice[STEP, offset=FIRST]())
                gradients.add[0, h, plane](i, part, normalised)
                gradients.add[1, h, plane](i, part, gradients.Chunk(1))
                v = v.insert[offset=FIRST](factors.grad_x(part, wi.slice[STEP, offset=FIRST](), normalised))
            put[width, Row.ALIGNMENT](yr, i, v)

        places.each(write)
    gradients.finish()


def layer_norm_backward_gpu[
    dtype: DType, //
](
    grad_x: Ptr[dtype],
    grad_weight: Ptr[dtype],
    grad_bias: Ptr[dtype],
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
        ctx.enqueue_function[layer_norm_backward_kernel[dtype, width, vectors]](
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

    var gradients: Addresses[2] = [Int(grad_weight), Int(grad_bias)]
    var whole = (
        d % gpu_width[dtype]() == 0 and aligned(grad_x) and aligned(grad) and aligned(x) and aligned(w)
    )
    sum_over_blocks[dtype, 2](launch, gradients, rows, d, whole, ctx)


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "layer_norm_backward"
    comptime INPUTS: List[StaticString] = ["grad", "x", "weight"]
    comptime OUTPUTS: List[StaticString] = ["grad_x", "grad_weight", "grad_bias"]
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
        var grad_bias = call.output(2).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var x = call.input(1).pointer[dtype]()
        var w = call.input(2).pointer[dtype]()
        var d = call.input(2).numel
        var rows = call.input(1).numel // d
        var eps = call.real(0)
        comptime if is_gpu[target]():
            layer_norm_backward_gpu(grad_x, grad_weight, grad_bias, grad, x, w, rows, d, eps, call.device())
        else:
            layer_norm_backward_cpu(grad_x, grad_weight, grad_bias, grad, x, w, rows, d, eps, call.fresh)
