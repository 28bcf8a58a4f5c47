"""Op layer_norm_backward: the gradients of layer_norm.

With h = (x - mean) / sqrt(var + eps), the normalised row, and q = grad * weight:

    grad_x = (q - mean(q) - h mean(q h)) / sqrt(var + eps)
    grad_weight = sum(grad h)
    grad_bias = sum(grad)

the means over a row, the sums over all rows (Ba, Kiros and Hinton,
https://arxiv.org/abs/1607.06450, equation 4, differentiated). The moments are
computed again: one pass gives them with the two means, a second one the gradients.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of
from std.utils import StaticTuple

from .common import FLOATS, F32, Ptr, aligned, gpu_width, prefetch_row, put, streams, up
from .gpu_block import block_sum
from .row_gradients import (
    Addresses,
    add_parts,
    along_lines,
    check_gradient,
    gpu_parts,
    padded,
    sum_of_rows,
    sum_over_rows,
)
from .rows import Moments, Sums, moments_of
from .torch_op import Call, Message, Shape, TorchOp


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
            self.moments.scale = 0  # nothing depends on a single value, and no rounding shall
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
    fresh: Bool = False,
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


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(threads)))
def layer_norm_backward_kernel[
    dtype: DType, width: Int, threads: Int
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
    """A block does every grid_dim-th row. The first vector of each thread stays
    in its registers, with its sums; that of the next row is loaded before the
    barriers of the current one."""
    comptime alignment = width * align_of[dtype]()
    comptime Vector = SIMD[F32, width]
    var d = Int(columns)
    var held = Int(thread_idx.x) * width
    var mine = held < d
    var for_weight = sums.unsafe_offset(Int(block_idx.x) * 2 * d)
    var for_bias = for_weight.unsafe_offset(d)
    for i in range(held + threads * width, d, threads * width):
        put[width](for_weight, i, Vector(0))
        put[width](for_bias, i, Vector(0))
    var weight_sum = Vector(0)
    var bias_sum = Vector(0)
    var next_x = SIMD[dtype, width](0)
    var next_g = SIMD[dtype, width](0)
    var w0 = Vector(0)
    if mine:
        w0 = up[width, alignment](w, held)
        if Int(block_idx.x) < Int(rows):
            next_x = x.unsafe_load[width=width, alignment=alignment](Int(block_idx.x) * d + held)
            next_g = grad.unsafe_load[width=width, alignment=alignment](Int(block_idx.x) * d + held)
    for row in range(Int(block_idx.x), Int(rows), Int(grid_dim.x)):
        var xr = x.unsafe_offset(row * d)
        var gr = grad.unsafe_offset(row * d)
        var yr = grad_x.unsafe_offset(row * d)
        var x0 = next_x.cast[F32]()
        var g0 = next_g.cast[F32]()
        var after = row + Int(grid_dim.x)
        if mine and after < Int(rows):
            next_x = x.unsafe_load[width=width, alignment=alignment](after * d + held)
            next_g = grad.unsafe_load[width=width, alignment=alignment](after * d + held)
        var sum = x0
        for i in range(held + threads * width, d, threads * width):
            sum += up[width, alignment](xr, i)
        var shift = block_sum(sum.reduce_add()) / Float32(d)
        var total = Array[Vector, 4](fill=0)

        @always_inline
        def count(v: Vector, g: Vector, wi: Vector) {var shift, mut total}:
            var away = v - shift
            var q = g * wi
            total[0] += away
            total[1] = away.fma(away, total[1])
            total[2] += q
            total[3] = q.fma(away, total[3])

        if mine:
            count(x0, g0, w0)
        for i in range(held + threads * width, d, threads * width):
            count(up[width, alignment](xr, i), up[width, alignment](gr, i), up[width, alignment](w, i))
        var all = block_sum(
            SIMD[F32, 4](
                total[0].reduce_add(), total[1].reduce_add(), total[2].reduce_add(), total[3].reduce_add()
            )
        )
        var factors = Factors(Moments(shift, all[0], all[1], d, eps), all[2], all[3], d)
        if mine:
            var h = factors.moments.normalised(x0)
            weight_sum = g0.fma(h, weight_sum)
            bias_sum += g0
            put[width, alignment](yr, held, factors.grad_x(g0, w0, h))
        for i in range(held + threads * width, d, threads * width):
            var g = up[width, alignment](gr, i)
            var h = factors.moments.normalised(up[width, alignment](xr, i))
            put[width](for_weight, i, g.fma(h, up[width](for_weight, i)))
            put[width](for_bias, i, up[width](for_bias, i) + g)
            put[width, alignment](yr, i, factors.grad_x(g, up[width, alignment](w, i), h))
    if mine:
        put[width](for_weight, held, weight_sum)
        put[width](for_bias, held, bias_sum)


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
    var gradients: Addresses[2] = [Int(grad_weight), Int(grad_bias)]

    @always_inline
    def launch[width: Int, threads: Int]() raises {var, imm ctx, imm gradients}:
        var parts = gpu_parts(rows, threads)
        var buffer = ctx.enqueue_create_buffer[F32](parts * 2 * d)
        var sums = buffer.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]()
        ctx.enqueue_function[layer_norm_backward_kernel[dtype, width, threads]](
            grad_x,
            sums,
            grad,
            x,
            w,
            Int64(rows),
            Int64(d),
            eps,
            grid_dim=parts,
            block_dim=threads,
        )
        add_parts[dtype, 2](sums, gradients, parts, d, ctx)
        _ = buffer^

    comptime WIDTH = gpu_width[dtype]()
    if d % WIDTH == 0 and aligned(grad_x) and aligned(grad) and aligned(x) and aligned(w):
        if d <= 128 * WIDTH:
            launch[WIDTH, 128]()
        elif d <= 512 * WIDTH:
            launch[WIDTH, 512]()
        else:
            launch[WIDTH, 1024]()
    else:
        launch[1, 512]()


@always_inline
def layer_norm_backward[
    dtype: DType, //, target: StaticString
](
    grad_x: Ptr[dtype],
    grad_weight: Ptr[dtype],
    grad_bias: Ptr[dtype],
    grad: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    n: Int,
    d: Int,
    eps: Float32,
    ctx: DeviceContext,
) raises:
    if d == 0:
        return
    comptime if is_gpu[target]():
        layer_norm_backward_gpu(grad_x, grad_weight, grad_bias, grad, x, w, n // d, d, eps, ctx)
    else:
        layer_norm_backward_cpu(grad_x, grad_weight, grad_bias, grad, x, w, n // d, d, eps)


# ---- binding: mojo ----


@extensibility.register("mojo_ops_layer_norm_backward")
struct LayerNormBackward:
    """Writes into the caller's tensors, on a GPU."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        grad_x: MutableInputTensor,
        grad_weight: MutableInputTensor,
        grad_bias: MutableInputTensor,
        grad: InputTensor[dtype=grad_x.dtype, rank=grad_x.rank, ...],
        x: InputTensor[dtype=grad_x.dtype, rank=grad_x.rank, ...],
        w: InputTensor[dtype=grad_x.dtype, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        layer_norm_backward[target](
            grad_x.unsafe_ptr(),
            rebind[Ptr[grad_x.dtype]](grad_weight.unsafe_ptr()),
            rebind[Ptr[grad_x.dtype]](grad_bias.unsafe_ptr()),
            grad.unsafe_ptr(),
            x.unsafe_ptr(),
            w.unsafe_ptr(),
            x.size(),
            w.size(),
            eps,
            ctx,
        )


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_layer_norm_backward_dps")
struct LayerNormBackwardDps:
    """Writes into the engine's tensors."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        grad_x: OutputTensor,
        grad_weight: OutputTensor,
        grad_bias: OutputTensor,
        grad: InputTensor[dtype=grad_x.dtype, rank=grad_x.rank, ...],
        x: InputTensor[dtype=grad_x.dtype, rank=grad_x.rank, ...],
        w: InputTensor[dtype=grad_x.dtype, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        layer_norm_backward[target](
            grad_x.unsafe_ptr(),
            rebind[Ptr[grad_x.dtype]](grad_weight.unsafe_ptr()),
            rebind[Ptr[grad_x.dtype]](grad_bias.unsafe_ptr()),
            grad.unsafe_ptr(),
            x.unsafe_ptr(),
            w.unsafe_ptr(),
            x.size(),
            w.size(),
            eps,
            ctx,
        )


# ---- binding: mojo, mojo_aot ----


struct Torch(TorchOp):
    """Behind PyTorch's dispatcher on the CPU, without MAX or in front of it."""

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
    def run[dtype: DType](call: Call):
        var d = call.input(2).numel
        layer_norm_backward_cpu(
            call.output(0).pointer[dtype](),
            call.output(1).pointer[dtype](),
            call.output(2).pointer[dtype](),
            call.input(0).pointer[dtype](),
            call.input(1).pointer[dtype](),
            call.input(2).pointer[dtype](),
            call.input(1).numel // d,
            d,
            call.real(0),
            call.fresh,
        )
