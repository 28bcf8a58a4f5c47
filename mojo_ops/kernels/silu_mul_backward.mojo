"""Op silu_mul_backward: the gradients of silu_mul by gate and up; see silu.mojo."""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import GRAIN, split_flat
from .common.silu import gate_gradients_at
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr, vector_loop


def silu_mul_backward_cpu[
    dtype: DType, //
](
    grad_a: Ptr[dtype],
    grad_b: Ptr[dtype],
    grad: Ptr[dtype],
    a: Ptr[dtype],
    b: Ptr[dtype],
    n: Int,
    fresh: Bool,
):
    var past_cache = streams(grad_a, n, GRAIN, fresh) and streams(grad_b, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            gate_gradients_at[width, stream=stream](grad_a, grad_b, grad, i, a, b, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def silu_mul_backward_kernel[
    dtype: DType, width: Int
](grad_a: Ptr[dtype], grad_b: Ptr[dtype], grad: Ptr[dtype], a: Ptr[dtype], b: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        gate_gradients_at[width, alignment](grad_a, grad_b, grad, first, a, b, first)
    else:
        for i in range(first, Int(n)):
            gate_gradients_at[1](grad_a, grad_b, grad, i, a, b, i)


def silu_mul_backward_gpu[
    dtype: DType, //
](
    grad_a: Ptr[dtype],
    grad_b: Ptr[dtype],
    grad: Ptr[dtype],
    a: Ptr[dtype],
    b: Ptr[dtype],
    n: Int,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[silu_mul_backward_kernel[dtype, width]](
            grad_a,
            grad_b,
            grad,
            a,
            b,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * width),
            block_dim=BLOCK,
        )

    if aligned(grad_a) and aligned(grad_b) and aligned(grad) and aligned(a) and aligned(b):
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "silu_mul_backward"
    comptime INPUTS: List[StaticString] = ["grad", "gate", "up"]
    comptime OUTPUTS: List[StaticString] = ["grad_gate", "grad_up"]
    comptime SCALARS = 0
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        comptime for i in range(1, 3):
            call.require_like(i, 0)
            call.require_sizes(i, call.input(0).sizes_from(0), call.input(0).rank, "the shape of grad")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of grad"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var grad_gate = call.output(0).pointer[dtype]()
        var grad_up = call.output(1).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var gate = call.input(1).pointer[dtype]()
        var up = call.input(2).pointer[dtype]()
        var n = call.input(0).numel
        comptime if is_gpu[target]():
            silu_mul_backward_gpu(grad_gate, grad_up, grad, gate, up, n, call.device())
        else:
            silu_mul_backward_cpu(grad_gate, grad_up, grad, gate, up, n, call.fresh)
