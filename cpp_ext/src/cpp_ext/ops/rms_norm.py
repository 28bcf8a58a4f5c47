"""rms_norm: root mean square normalisation over the last dimension."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_rms_norm = torch.ops.cpp_ext.rms_norm.default


@differentiable(_rms_norm)
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, the mean over the last dimension.

    Formula: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467, equation 4.

    Args:
        x: shape [..., D]; float32, bfloat16 or float16.
        weight: shape [D], dtype and device of x.
        eps: added to the mean square before the root.

    Returns:
        A contiguous tensor of the shape and dtype of x. Sums and products are computed in float32. It is
        differentiable in x and weight; a second derivative raises.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _rms_norm(x, weight, eps)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, ctx.eps = inputs
    ctx.save_for_backward(x, weight)


def _backward(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *ops.rms_norm_backward(grad, *ctx.saved_tensors, ctx.eps), None


register_autograd("rms_norm", _backward, _save, autocast="float32")
