"""Op silu_mul: y = silu(gate) up, silu(a) = a / (1 + exp(-a)); silu_and_mul takes both from one tensor.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.silu import gate_at
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr, vector_loop


def silu_mul_cpu[dtype: DType, //](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, fresh: Bool):
    var past_cache = streams(y, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            gate_at[width, stream=stream](y, i, a, b, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def silu_mul_kernel[dtype: DType, width: Int](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        gate_at[width, alignment](y, first, a, b, first)
    else:
        for i in range(first, Int(n)):
            gate_at[1](y, i, a, b, i)


def silu_mul_gpu[
    dtype: DType, //
](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[silu_mul_kernel[dtype, width]](
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
    comptime NAME: StaticString = "silu_mul"
    comptime INPUTS: List[StaticString] = ["gate", "up"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        call.require_sizes(1, call.input(0).sizes_from(0), call.input(0).rank, "the shape of gate")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of gate"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var gate = call.input(0).pointer[dtype]()
        var up = call.input(1).pointer[dtype]()
        var n = call.input(0).numel
        comptime if is_gpu[target]():
            silu_mul_gpu(y, gate, up, n, call.device())
        else:
            silu_mul_cpu(y, gate, up, n, call.fresh)
