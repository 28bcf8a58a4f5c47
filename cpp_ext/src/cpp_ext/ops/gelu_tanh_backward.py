"""gelu_tanh_backward: the gradient of gelu_tanh."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_gelu_tanh_backward = torch.ops.cpp_ext.gelu_tanh_backward.default


@differentiable(_gelu_tanh_backward)
def gelu_tanh_backward(grad: Tensor, x: Tensor) -> Tensor:
    """grad (s + x s (1 - s) 2u') with s = 1 / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3), elementwise.

    Formula: the derivative of x s, which is Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, arXiv:1606.08415,
    section 2, written with the logistic function.

    Args:
        grad: any shape, the gradient of the output; float32, bfloat16 or float16.
        x: the input of gelu_tanh, in the shape and dtype and on the device of grad.

    Returns:
        A contiguous tensor of the shape and dtype of grad, computed in float32. For large and infinite x the derivative
        is 0 or 1; PyTorch's is NaN where x^2 overflows.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device, or its gradient is requested.
    """
    return _gelu_tanh_backward(grad, x)


no_gradient("gelu_tanh_backward", "is a gradient itself and has none")
