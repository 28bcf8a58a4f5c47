"""silu_and_mul_backward: the gradient of silu_and_mul."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_silu_and_mul_backward = torch.ops.cpp_ext.silu_and_mul_backward.default


@differentiable(_silu_and_mul_backward)
def silu_and_mul_backward(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient by x = [a, b] of silu(a) * b: [grad b s (1 + a (1 - s)), grad a s] with s = 1 / (1 + exp(-a)).

    Formula: the derivatives of Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202, equation 6.

    Args:
        grad: shape [..., d], the gradient of the output; float32, bfloat16 or float16.
        x: shape [..., 2d], the input of silu_and_mul, in the dtype and on the device of grad.

    Returns:
        A contiguous tensor of the shape and dtype of x. Computed in float32 and rounded once; where a is infinite it is
        NaN as in PyTorch.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device, or its gradient is requested.
    """
    return _silu_and_mul_backward(grad, x)


no_gradient("silu_and_mul_backward", "is a gradient itself and has none")
