"""layer_norm_backward: the gradients of layer_norm."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_layer_norm_backward = torch.ops.cpp_ext.layer_norm_backward.default


@differentiable(_layer_norm_backward)
def layer_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of layer_norm(x, weight, bias, eps) with respect to x, weight and bias, for that of its output.

    With s = 1 / sqrt(var(x) + eps), h = (x - mean(x)) s and q = grad * weight they are s (q - mean(q) - h mean(q h)),
    the means over the last dimension, and the sums of grad h and of grad over all others.
    Formula: the derivative of equation 4 of Ba, Kiros and Hinton, Layer Normalization, 2016, arXiv:1607.06450.

    Args:
        grad: shape, dtype and device of x.
        x: shape [..., D]; float32, bfloat16 or float16.
        weight: shape [D], dtype and device of x.
        eps: as given to layer_norm.

    Returns:
        Three contiguous tensors, of the shapes of x, weight and weight and the dtype of x. All sums are computed in
        float32. The result is the same bit for bit whatever the number of threads, and from call to call on a GPU.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _layer_norm_backward(grad, x, weight, eps)


no_gradient("layer_norm_backward", "has no gradient: layer_norm is differentiated once")
