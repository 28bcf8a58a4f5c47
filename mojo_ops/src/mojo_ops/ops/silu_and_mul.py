"""silu_and_mul: SwiGLU behind the product with both weights, https://arxiv.org/abs/2002.05202."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("silu_and_mul", outputs=(("rows", "half"),), inputs=(("rows", "columns"),))


def _run(out: Tensor, x: Tensor) -> None:
    if n := out.numel():
        half = out.shape[-1]
        launch(KERNEL, (), (), (out.view(-1, half), x.reshape(n // half, 2 * half)))


_op = define(KERNEL, "(Tensor x) -> Tensor", _run, differentiable=True)


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


register_autograd("silu_and_mul", lambda ops, ctx, grad: ops.silu_and_mul_backward(grad, *ctx.saved_tensors), _save)


@differentiable(_op)
def silu_and_mul(x: Tensor) -> Tensor:
    """Computes silu(x[..., :d]) * x[..., d:] in float32, silu(a) = a / (1 + exp(-a)); d is half of the last dimension.

    Formula: Shazeer, https://arxiv.org/abs/2002.05202, equation 6 (SwiGLU), behind the two products as one.

    Args:
        x: [..., 2d]; float32, bfloat16 or float16.

    Returns:
        A new contiguous tensor [..., d] of the dtype of x, rounded once. SiLU of -inf is NaN, as in PyTorch.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: the dtype is not supported.
        ValueError: x has no dimension, or an odd last one.
    """
    return _op(x)
