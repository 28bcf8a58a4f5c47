"""silu_mul: SwiGLU on the results of two products, https://arxiv.org/abs/2002.05202."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("silu_mul", outputs=(("n",),), inputs=(("n",), ("n",)))


def _run(out: Tensor, gate: Tensor, up: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, gate, up), (n,))


_op = define(KERNEL, "(Tensor gate, Tensor up) -> Tensor", _run, differentiable=True)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    return ops.silu_mul_backward(grad, *ctx.saved_tensors)


register_autograd("silu_mul", _gradient, _save, autocast="widest")


@differentiable(_op)
def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    """Computes silu(gate) * up of each element in float32, silu(a) = a / (1 + exp(-a)).

    Formula: Shazeer, https://arxiv.org/abs/2002.05202, equation 6 (SwiGLU), behind its two products.

    Args:
        gate: any shape; float32, bfloat16 or float16.
        up: shape, dtype and device of gate; nothing is broadcast.

    Returns:
        A new contiguous tensor of the shape and dtype of gate, rounded once. SiLU of -inf is NaN, as in PyTorch.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or up has a different one than gate.
        ValueError: up has a different shape or device than gate.
    """
    return _op(gate, up)
