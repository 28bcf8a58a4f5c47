"""Op silu_mul: y = silu(gate) up, silu(a) = a / (1 + exp(-a)); silu_and_mul takes both from one tensor.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.silu import gate_at
from .common.stream import streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, Ptr, vector_loop


def silu_mul_cpu[dtype: DType, //](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, fresh: Bool = False):
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


@always_inline
def silu_mul[
    dtype: DType, //, target: StaticString
](y: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    if n == 0:
        return
    comptime if is_gpu[target]():
        silu_mul_gpu(y, a, b, n, ctx)
    else:
        silu_mul_cpu(y, a, b, n)


# ---- binding: mojo ----


@extensibility.register("mojo_ops_silu_mul")
struct SiluMul:
    """Writes into the caller's tensor, on a GPU."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: MutableInputTensor,
        gate: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        up: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        silu_mul[target](y.unsafe_ptr(), gate.unsafe_ptr(), up.unsafe_ptr(), y.size(), ctx)


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_silu_mul_dps")
struct SiluMulDps:
    """Writes into the engine's tensor."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor,
        gate: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        up: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        silu_mul[target](y.unsafe_ptr(), gate.unsafe_ptr(), up.unsafe_ptr(), y.size(), ctx)


# ---- binding: mojo, mojo_aot ----


struct Torch(TorchOp):
    """Behind PyTorch's dispatcher on the CPU, without MAX or in front of it."""

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
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(0), call.input(0).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of gate"

    @staticmethod
    def run[dtype: DType](call: Call):
        var y = call.output(0)
        silu_mul_cpu(
            y.pointer[dtype](),
            call.input(0).pointer[dtype](),
            call.input(1).pointer[dtype](),
            y.numel,
            call.fresh,
        )
