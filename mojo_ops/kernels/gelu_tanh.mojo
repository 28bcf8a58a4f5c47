"""Op gelu_tanh: y = 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).

Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415. Computed in the equal
form x / (1 + exp(-2u)), which does not lose the small values of negative x in
1 + tanh(u): relative error 2e-6 down to y = -1e-6, where PyTorch's is 7e-2.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gelu import gelu
from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr, put, up, vector_loop


@always_inline
def gelu_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], x: Ptr[dtype], i: Int):
    put[width, alignment, stream](y, i, gelu(up[width, alignment](x, i)))


def gelu_tanh_cpu[dtype: DType, //](y: Ptr[dtype], x: Ptr[dtype], n: Int, fresh: Bool):
    var past_cache = streams(y, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            gelu_at[width, stream=stream](y, x, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def gelu_tanh_kernel[dtype: DType, width: Int](y: Ptr[dtype], x: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        gelu_at[width, alignment](y, x, first)
    else:
        for i in range(first, Int(n)):
            gelu_at[1](y, x, i)


def gelu_tanh_gpu[dtype: DType, //](y: Ptr[dtype], x: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[gelu_tanh_kernel[dtype, width]](
            y,
            x,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * width),
            block_dim=BLOCK,
        )

    if aligned(y) and aligned(x):
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "gelu_tanh"
    comptime INPUTS: List[StaticString] = ["x"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        pass

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var n = call.input(0).numel
        comptime if is_gpu[target]():
            gelu_tanh_gpu(y, x, n, call.device())
        else:
            gelu_tanh_cpu(y, x, n, call.fresh)
