"""add_rms_norm: residual addition and root mean square normalisation as a function."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_add_rms_norm = torch.ops.cpp_ext.add_rms_norm.default


@differentiable(_add_rms_norm)
def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """sum = x + residual, and sum / sqrt(mean(sum^2) + eps) * weight, the mean over the last dimension.

    Formula: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467, equation 4. The sum is
    rounded to the dtype before it is normalised, so that the result is that of the two steps one after the other.

    Args:
        x: shape [..., D]; float32, bfloat16 or float16.
        residual: shape, dtype and device of x.
        weight: shape [D], dtype and device of x.
        eps: added to the mean square before the root.

    Returns:
        The normalised sum and the sum: contiguous tensors of the shape and dtype of x, computed in float32.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _add_rms_norm(x, residual, weight, eps)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, _, weight, ctx.eps = inputs
    ctx.set_materialize_grads(False)  # zeros times infinity would be NaN where the normalised sum is not used
    ctx.save_for_backward(output[1], weight)


def _backward(ops: Any, ctx: Any, grad: Tensor | None, grad_sum: Tensor | None) -> tuple[Tensor | None, ...]:
    """Adds the gradients of both outputs; x and residual have the same gradient."""
    if grad is None:
        return grad_sum, grad_sum, None, None
    through_norm, grad_weight = ops.rms_norm_backward(grad, *ctx.saved_tensors, ctx.eps)
    if grad_sum is not None:
        through_norm = through_norm + grad_sum
    return through_norm, through_norm, grad_weight, None


register_autograd("add_rms_norm", _backward, _save, autocast="float32")
