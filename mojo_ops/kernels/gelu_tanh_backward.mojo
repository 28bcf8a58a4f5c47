"""Op gelu_tanh_backward: y = grad (s + x s (1 - s) 2u'), s = 1 / (1 + exp(-2u)).

The derivative of gelu_tanh(x) = x s, u = sqrt(2/pi) (x + 0.044715 x^3). With
e = exp(-2u) the product s (1 - s) is e s^2, which does not cancel for positive
x: the error is a fifth of that of 1 - s, a third of PyTorch's.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.exp2 import exp2
from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import F32, FLOATS, Ptr, put, up, vector_loop


@always_inline
def gradient[width: SIMDLength](grad: SIMD[F32, width], x: SIMD[F32, width]) -> SIMD[F32, width]:
    comptime TWO_U = Float32(1.5957691216057308)  # 2u = TWO_U x + CUBIC x^3
    comptime CUBIC = TWO_U * 0.044715
    comptime MINUS_LOG2_E = Float32(-1.4426950408889634)
    # The derivative is 1 to the last bit from 10 on and 2e-36 at -10, which counts
    # as 0 below. Between them exp(-2u) is finite. NaN passes all comparisons, as it
    # would not pass min and max.
    comptime FLAT = SIMD[F32, width](10)
    var vanishes = x.lt(-FLAT)
    var t = vanishes.select(-FLAT, x)
    t = t.gt(FLAT).select(FLAT, t)
    var squared = t * t
    var e = exp2(t * squared.fma(CUBIC * MINUS_LOG2_E, TWO_U * MINUS_LOG2_E))
    var s = 1 / (1 + e)
    var derivative = (t * (e * s * s)).fma(squared.fma(3 * CUBIC, TWO_U), s)
    return grad * vanishes.select(SIMD[F32, width](0), derivative)


@always_inline
def gradient_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], i: Int):
    put[width, alignment, stream](y, i, gradient(up[width, alignment](grad, i), up[width, alignment](x, i)))


def gelu_tanh_backward_cpu[
    dtype: DType, //
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], n: Int, fresh: Bool):
    var past_cache = streams(y, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            gradient_at[width, stream=stream](y, grad, x, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def gelu_tanh_backward_kernel[
    dtype: DType, width: Int
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        gradient_at[width, alignment](y, grad, x, first)
    else:
        for i in range(first, Int(n)):
            gradient_at[1](y, grad, x, i)


def gelu_tanh_backward_gpu[
    dtype: DType, //
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[gelu_tanh_backward_kernel[dtype, width]](
            y,
            grad,
            x,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * width),
            block_dim=BLOCK,
        )

    if aligned(y) and aligned(grad) and aligned(x):
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "gelu_tanh_backward"
    comptime INPUTS: List[StaticString] = ["grad", "x"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        call.require_sizes(1, call.input(0).sizes_from(0), call.input(0).rank, "the shape of grad")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of grad"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var x = call.input(1).pointer[dtype]()
        var n = call.input(0).numel
        comptime if is_gpu[target]():
            gelu_tanh_backward_gpu(y, grad, x, n, call.device())
        else:
            gelu_tanh_backward_cpu(y, grad, x, n, call.fresh)
