"""rms_norm: root-mean-square layer normalisation, https://arxiv.org/abs/1910.07467."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("rms_norm", outputs=(("rows", "columns"),), inputs=(("rows", "columns"), ("columns",)), scalars=1)


def _run(out: Tensor, x: Tensor, weight: Tensor, eps: float) -> None:
    if n := out.numel():
        columns = x.shape[-1]
        launch(KERNEL, (out, x), (n // columns, columns), (weight,), (eps,))


_op = define(KERNEL, "(Tensor x, Tensor weight, float eps) -> Tensor", _run, differentiable=True)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, ctx.eps = inputs
    ctx.save_for_backward(x, weight)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *ops.rms_norm_backward(grad, *ctx.saved_tensors, ctx.eps), None


register_autograd("rms_norm", _gradient, _save, autocast="float32")


@differentiable(_op)
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Computes x / sqrt(mean(x^2) + eps) * weight over the last dimension, in float32.

    Differentiable in x and weight; a second derivative raises.

    Args:
        x: [..., D]; float32, bfloat16 or float16.
        weight: [D], dtype and device of x.
        eps: added to the mean square, rounded to float32.

    Returns:
        A new contiguous tensor of the shape and dtype of x.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or weight has a different one than x.
        ValueError: x has no dimension, or weight a different shape or device than stated.
    """
    return _op(x, weight, eps)
