"""softmax_backward: the gradient of softmax by its scores."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import no_gradient
from .._direct import differentiable
from .._fake import register_fake

_softmax_backward = torch.ops.cpp_ext.softmax_backward.default


@differentiable(_softmax_backward)
def softmax_backward(grad: Tensor, output: Tensor, scale: float) -> Tensor:
    """The gradient of softmax(scale * x + mask) by x: scale * output * (grad - sum(grad * output)).

    Sums are over the last dimension. The Jacobian of softmax is diag(output) - output output^T.

    Args:
        grad: gradient of the result of softmax, shape [..., D]; float32, bfloat16 or float16.
        output: that result; shape, dtype and device of grad.
        scale: factor of x in softmax, rounded to float32. With 1 this is the gradient by the mask before it is summed
            over the dimensions that the mask was broadcast over.

    Returns:
        A contiguous tensor of the shape and dtype of grad. Sums and products are computed in float32. It has no
        gradient of its own.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _softmax_backward(grad, output, scale)


def _check(grad: Tensor, output: Tensor) -> None:
    checks.same_device("softmax_backward", grad=grad, output=output)
    checks.float_dtype("softmax_backward", grad=grad, output=output)
    checks.require(grad.dim() >= 1, f"softmax_backward: grad has {grad.dim()} dimensions, expected at least 1")
    checks.shape("softmax_backward", "output", output, grad.shape, "the shape of grad")


@register_fake("softmax_backward")
def _(grad: Tensor, output: Tensor, scale: float) -> Tensor:
    _check(grad, output)
    return grad.new_empty(grad.shape)


@register_fake("softmax_backward.out")
def _(grad: Tensor, output: Tensor, scale: float, *, out: Tensor) -> None:
    _check(grad, output)
    checks.out("softmax_backward", "out", out, grad, "grad", grad.shape, "the shape of grad")


no_gradient("softmax_backward", "is a gradient and has none of its own, expected no second derivative")
