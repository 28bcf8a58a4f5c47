"""Op add_rms_norm: total = x + residual, and rms_norm of it, in one pass.

Zhang and Sennrich, https://arxiv.org/abs/1910.07467; the kernel is in add_rms.mojo.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext

from .common.add_rms import add_rms, check_add_rms, run_add_rms
from .common.stream import streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr


# ---- binding: mojo ----


@extensibility.register("mojo_ops_add_rms_norm")
struct AddRmsNorm:
    """Writes into the caller's tensors, on a GPU."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: MutableInputTensor,
        total: MutableInputTensor,
        x: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        residual: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        w: InputTensor[dtype=y.dtype, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        add_rms[target](
            y.unsafe_ptr(),
            rebind[Ptr[y.dtype]](total.unsafe_ptr()),
            x.unsafe_ptr(),
            residual.unsafe_ptr(),
            w.unsafe_ptr(),
            y.size(),
            w.size(),
            eps,
            ctx,
        )


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_add_rms_norm_dps")
struct AddRmsNormDps:
    """Writes into the engine's tensors."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor,
        total: OutputTensor,
        x: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        residual: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        w: InputTensor[dtype=y.dtype, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        add_rms[target](
            y.unsafe_ptr(),
            rebind[Ptr[y.dtype]](total.unsafe_ptr()),
            x.unsafe_ptr(),
            residual.unsafe_ptr(),
            w.unsafe_ptr(),
            y.size(),
            w.size(),
            eps,
            ctx,
        )


# ---- binding: mojo, mojo_aot ----


struct Torch(TorchOp):
    """Behind PyTorch's dispatcher on the CPU, without MAX or in front of it."""

    comptime NAME: StaticString = "add_rms_norm"
    comptime INPUTS: List[StaticString] = ["x", "residual", "weight"]
    comptime OUTPUTS: List[StaticString] = ["normalised", "sum"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_add_rms(call)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType](call: Call):
        var y = call.output(0).pointer[dtype]()
        var total = call.output(1).pointer[dtype]()
        var n = call.output(0).numel
        var d = call.input(2).numel
        var past_cache = streams(y, n, d, call.fresh) and streams(total, n, d, call.fresh)
        run_add_rms[dtype](call, y, total, past_cache)
