"""Op fused_add_rms_norm: residual = x + residual, then x = rms_norm(residual), in place.

Zhang and Sennrich, https://arxiv.org/abs/1910.07467; the kernel is in add_rms.mojo.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext

from .common.add_rms import add_rms, check_add_rms, run_add_rms
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr


# ---- binding: mojo ----


@extensibility.register("mojo_ops_fused_add_rms_norm")
struct FusedAddRmsNorm:
    """Writes into the caller's tensors, on a GPU."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        x: MutableInputTensor,
        residual: MutableInputTensor,
        w: InputTensor[dtype=x.dtype, rank=1, ...],
        eps: Float32,
        ctx: DeviceContext,
    ) raises:
        var xp = x.unsafe_ptr()
        var rp = rebind[Ptr[x.dtype]](residual.unsafe_ptr())
        add_rms[target](xp, rp, xp, rp, w.unsafe_ptr(), x.size(), w.size(), eps, ctx)


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_fused_add_rms_norm_dps")
struct FusedAddRmsNormDps:
    """Writes into the engine's tensors, which are then copied into the caller's."""

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

    comptime NAME: StaticString = "fused_add_rms_norm"
    comptime INPUTS: List[StaticString] = ["x", "residual", "weight"]
    comptime WRITTEN: List[StaticString] = ["x", "residual"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_add_rms(call)

    @staticmethod
    def run[dtype: DType](call: Call):
        # Never past the cache: what is written was just read, so its lines are there.
        run_add_rms[dtype](call, call.input(0).pointer[dtype](), call.input(1).pointer[dtype](), False)
