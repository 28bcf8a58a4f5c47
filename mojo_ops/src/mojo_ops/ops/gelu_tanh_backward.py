"""gelu_tanh_backward: the gradient of gelu_tanh, after https://arxiv.org/abs/1606.08415."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel("gelu_tanh_backward", outputs=(("n",),), inputs=(("n",), ("n",)))


def _run(out: Tensor, grad: Tensor, x: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, grad, x), (n,))


_op = define(KERNEL, "(Tensor grad, Tensor x) -> Tensor", _run, differentiable=True)


no_gradient("gelu_tanh_backward", "is a gradient itself and has none")


@differentiable(_op)
def gelu_tanh_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Computes grad (s + x s (1 - s) 2u') of each element in float32.

    s = 1 / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3): the derivative of x s, which is Hendrycks and Gimpel,
    https://arxiv.org/abs/1606.08415, section 2, written with the logistic function.

    Args:
        grad: any shape, the gradient of the output; float32, bfloat16 or float16.
        x: the input of gelu_tanh, in the shape, dtype and device of grad.

    Returns:
        A new contiguous tensor of the shape and dtype of grad. For large and infinite x the derivative is 0 or 1;
        PyTorch's is NaN where x^2 overflows.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if a
            gradient of the result is requested.
        TypeError: a dtype is not supported, or x has a different one than grad.
        ValueError: x has a different shape or device than grad.
    """
    return _op(grad, x)
