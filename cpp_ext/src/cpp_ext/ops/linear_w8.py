"""linear_w8: a linear layer with int8 weights and one scale an output channel."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_linear_w8 = torch.ops.cpp_ext.linear_w8.default


@differentiable(_linear_w8)
def linear_w8(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """(x @ weight^T) * scales + bias: weight-only quantisation, symmetric, one scale for each row of the weight.

    Args:
        x: shape [..., K]; float32, bfloat16 or float16.
        weight: shape [N, K], int8.
        scales: shape [N], dtype and device of x.
        bias: as scales, or None.

    Returns:
        A contiguous tensor of shape [..., N] and the dtype of x. Products are summed in float32. It has no gradient.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _linear_w8(x, weight, scales, bias)


no_gradient("linear_w8", "is for inference and has no gradient", autocast="lower")
