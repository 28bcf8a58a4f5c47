"""Op add: y = a + b.

Memory-bound: two loads, one addition and one store an element.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr, put, up, vector_loop


@always_inline
def add_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], i: Int):
    var sum = up[width, alignment](a, i) + up[width, alignment](b, i)
    put[width, alignment, stream](y, i, sum)


def add_cpu[dtype: DType, //](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, fresh: Bool):
    var past_cache = streams(y, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            add_at[width, stream=stream](y, a, b, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def add_kernel[dtype: DType, width: Int](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        add_at[width, alignment](y, a, b, first)
    else:
        for i in range(first, Int(n)):
            add_at[1](y, a, b, i)


def add_gpu[dtype: DType, //](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[add_kernel[dtype, width]](
            y,
            a,
            b,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * width),
            block_dim=BLOCK,
        )

    if aligned(y) and aligned(a) and aligned(b):
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "add"
    comptime INPUTS: List[StaticString] = ["a", "b"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        call.require_sizes(1, call.input(0).sizes_from(0), call.input(0).rank, "the shape of a")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of a"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var a = call.input(0).pointer[dtype]()
        var b = call.input(1).pointer[dtype]()
        var n = call.input(0).numel
        comptime if is_gpu[target]():
            add_gpu(y, a, b, n, call.device())
        else:
            add_cpu(y, a, b, n, call.fresh)
