"""layer_norm: normalisation over the last dimension by mean and variance."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_layer_norm = torch.ops.cpp_ext.layer_norm.default


@differentiable(_layer_norm)
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """(x - mean(x)) / sqrt(var(x) + eps) * weight + bias, mean and biased variance over the last dimension.

    Formula: Ba, Kiros and Hinton, Layer Normalization, 2016, arXiv:1607.06450, equation 4.

    Args:
        x: shape [..., D]; float32, bfloat16 or float16.
        weight: shape [D], dtype and device of x.
        bias: the same as weight, or None.
        eps: added to the variance before the root.

    Returns:
        A contiguous tensor of the shape and dtype of x. Sums and products are computed in float32, from differences to
        the mean, so that rows far from zero keep their accuracy. It is differentiable in x, weight and bias; a
        second derivative raises.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _layer_norm(x, weight, bias, eps)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.eps = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, weight)


def _backward(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = ops.layer_norm_backward(grad, x, weight, ctx.eps)
    return grad_x, grad_weight, grad_bias if ctx.has_bias else None, None


register_autograd("layer_norm", _backward, _save, autocast="float32")
