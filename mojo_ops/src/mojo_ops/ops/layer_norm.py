"""layer_norm: normalisation over the last dimension by mean and variance, https://arxiv.org/abs/1607.06450."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel(
    "layer_norm",
    outputs=(("rows", "columns"),),
    inputs=(("rows", "columns"), ("columns",), ("columns",)),
    optional=(2,),
    scalars=1,
)


def _run(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> None:
    if n := out.numel():
        columns = x.shape[-1]
        launch(KERNEL, (out, x), (n // columns, columns), (weight, bias), (eps,))


_op = define(KERNEL, "(Tensor x, Tensor weight, Tensor? bias, float eps) -> Tensor", _run, differentiable=True)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.eps = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, weight)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad_x, grad_weight, grad_bias = ops.layer_norm_backward(grad, *ctx.saved_tensors, ctx.eps)
    return grad_x, grad_weight, grad_bias if ctx.has_bias else None, None


register_autograd("layer_norm", _gradient, _save, autocast="float32")


@differentiable(_op)
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Computes (x - mean(x)) / sqrt(var(x) + eps) * weight + bias over the last dimension, in float32.

    The variance is the biased one, computed from differences to the mean: rows far from zero keep their accuracy.
    Formula: Ba, Kiros and Hinton, Layer Normalization, 2016, equation 4. Differentiable in x, weight and bias;
    a second derivative raises.

    Args:
        x: [..., D]; float32, bfloat16 or float16.
        weight: [D], dtype and device of x.
        bias: the same, or None.
        eps: added to the variance, rounded to float32.

    Returns:
        A new contiguous tensor of the shape and dtype of x.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or weight or bias has a different one than x.
        ValueError: x has no dimension, or weight or bias a different shape or device than stated.
    """
    return _op(x, weight, bias, eps)
