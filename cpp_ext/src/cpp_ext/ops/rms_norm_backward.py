"""rms_norm_backward: the gradients of rms_norm."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_rms_norm_backward = torch.ops.cpp_ext.rms_norm_backward.default


@differentiable(_rms_norm_backward)
def rms_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradients of rms_norm(x, weight, eps) with respect to x and weight, for the gradient of its output.

    With s = 1 / sqrt(mean(x^2) + eps) and q = grad * weight they are s q - x s^3 mean(q x), the means over the last
    dimension, and the sum of grad x s over all others.
    Formula: the derivative of equation 4 of Zhang and Sennrich, Root Mean Square Layer Normalization, 2019,
    arXiv:1910.07467.

    Args:
        grad: shape, dtype and device of x.
        x: shape [..., D]; float32, bfloat16 or float16.
        weight: shape [D], dtype and device of x.
        eps: as given to rms_norm.

    Returns:
        Two contiguous tensors, of the shapes of x and weight and the dtype of x. All sums are computed in float32. The
        result is the same bit for bit whatever the number of threads, and from call to call on a GPU.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _rms_norm_backward(grad, x, weight, eps)


no_gradient("rms_norm_backward", "has no gradient: rms_norm is differentiated once")
