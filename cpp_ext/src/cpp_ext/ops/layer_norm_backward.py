"""layer_norm_backward: the gradients of layer_norm."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import no_gradient
from .._direct import differentiable
from .._fake import register_fake

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
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _layer_norm_backward(grad, x, weight, eps)


def _check(grad: Tensor, x: Tensor, weight: Tensor) -> None:
    checks.same_device("layer_norm_backward", grad=grad, x=x, weight=weight)
    checks.norm_gradient("layer_norm_backward", grad, x, weight)


@register_fake("layer_norm_backward")
def _(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    _check(grad, x, weight)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(weight.shape)


@register_fake("layer_norm_backward.out")
def _(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, *, grad_x: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    _check(grad, x, weight)
    checks.out("layer_norm_backward", "grad_x", grad_x, x, "x", x.shape, "the shape of x")
    for name, out in (("grad_weight", grad_weight), ("grad_bias", grad_bias)):
        checks.out("layer_norm_backward", name, out, weight, "weight", weight.shape, "the shape of weight")


no_gradient("layer_norm_backward", "has no gradient: layer_norm is differentiated once")
