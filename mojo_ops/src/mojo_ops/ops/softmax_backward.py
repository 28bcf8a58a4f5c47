"""softmax_backward: the gradient of softmax by its scores."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "softmax_backward",
    outputs=(("rows", "columns"),),
    inputs=(("rows", "columns"), ("rows", "columns")),
    scalars=1,
)


def _run(out: Tensor, grad: Tensor, output: Tensor, scale: float) -> None:
    if n := out.numel():
        columns = out.shape[-1]
        launch(KERNEL, (out, grad, output), (n // columns, columns), (), (scale,))


_op = define(KERNEL, "(Tensor grad, Tensor output, float scale) -> Tensor", _run, differentiable=True)
no_gradient("softmax_backward", "is a gradient itself and has none")


@differentiable(_op)
def softmax_backward(grad: Tensor, output: Tensor, scale: float) -> Tensor:
    """Computes the gradient of softmax(scale * x + mask) by x: scale * output * (grad - sum(grad * output)).

    Sums are over the last dimension, in float32. The Jacobian of softmax is diag(output) - output output^T.

    Args:
        grad: [..., D], the gradient of the result of softmax; float32, bfloat16 or float16.
        output: that result; shape, dtype and device of grad.
        scale: factor of x in softmax, rounded to float32. With 1 this is the gradient by the mask before it is summed
            over the dimensions that the mask was broadcast over.

    Returns:
        A new contiguous tensor of the shape and dtype of grad.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if a
            gradient of the result is requested.
        TypeError: a dtype is not supported, or output has a different one than grad.
        ValueError: grad has no dimension, or output has a different shape or device.
    """
    return _op(grad, output, scale)
