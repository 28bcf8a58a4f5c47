"""add_rms_norm: residual addition and root-mean-square normalisation, https://arxiv.org/abs/1910.07467."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel(
    "add_rms_norm",
    outputs=(("rows", "columns"), ("rows", "columns")),
    inputs=(("rows", "columns"), ("rows", "columns"), ("columns",)),
    scalars=1,
)


def _run(outputs: tuple[Tensor, Tensor], x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> None:
    if n := x.numel():
        columns = x.shape[-1]
        launch(KERNEL, (*outputs, x, residual), (n // columns, columns), (weight,), (eps,))


_op = define(
    KERNEL,
    "(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor normalised, Tensor sum)",
    _run,
    differentiable=True,
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, _, weight, ctx.eps = inputs
    ctx.set_materialize_grads(False)  # zeros times infinity would be NaN where the normalised sum is not used
    ctx.save_for_backward(output[1], weight)


def _gradient(ops: Any, ctx: Any, grad: Tensor | None, grad_sum: Tensor | None) -> tuple[Tensor | None, ...]:
    """Adds the gradients of both outputs; x and residual have the same gradient."""
    if grad is None:
        return grad_sum, grad_sum, None, None
    through_norm, grad_weight = ops.rms_norm_backward(grad, *ctx.saved_tensors, ctx.eps)
    if grad_sum is not None:
        through_norm = through_norm + grad_sum
    return through_norm, through_norm, grad_weight, None


register_autograd("add_rms_norm", _gradient, _save, autocast="float32")


@differentiable(_op)
def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Computes sum = x + residual, and sum / sqrt(mean(sum^2) + eps) * weight over the last dimension, in float32.

    Formula: Zhang and Sennrich, https://arxiv.org/abs/1910.07467. The sum is rounded to the dtype before it is
    normalised, so that the result is that of the two steps one after the other.

    Args:
        x: [..., D]; float32, bfloat16 or float16.
        residual: shape, dtype and device of x.
        weight: [D], dtype and device of x.
        eps: added to the mean square, rounded to float32.

    Returns:
        The normalised sum and the sum: new contiguous tensors of the shape and dtype of x.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or a different one than x.
        ValueError: x has no dimension, or another tensor has a different shape or device than stated.
    """
    return _op(x, residual, weight, eps)
