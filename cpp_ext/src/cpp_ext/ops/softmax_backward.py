"""softmax_backward: the gradient of softmax by its scores."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

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
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _softmax_backward(grad, output, scale)


no_gradient("softmax_backward", "is a gradient and has none of its own, expected no second derivative")
