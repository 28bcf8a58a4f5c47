"""silu_and_mul_backward: the gradient of silu_and_mul, after https://arxiv.org/abs/2002.05202."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel("silu_and_mul_backward", outputs=(("rows", "columns"),), inputs=(("rows", "half"), ("rows", "columns")))


def _run(out: Tensor, grad: Tensor, x: Tensor) -> None:
    if out.numel():
        half = grad.shape[-1]
        launch(KERNEL, (), (), (out.view(-1, 2 * half), grad.reshape(-1, half), x.reshape(-1, 2 * half)))


_op = define(KERNEL, "(Tensor grad, Tensor x) -> Tensor", _run, differentiable=True)


no_gradient("silu_and_mul_backward", "is a gradient itself and has none")


@differentiable(_op)
def silu_and_mul_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Computes the gradient by x = [a, b] of silu(a) * b, in float32.

    With s = 1 / (1 + exp(-a)) that is [grad b s (1 + a (1 - s)), grad a s], the derivatives of Shazeer,
    https://arxiv.org/abs/2002.05202, equation 6.

    Args:
        grad: [..., d], the gradient of the output; float32, bfloat16 or float16.
        x: [..., 2d], the input of silu_and_mul, dtype and device of grad.

    Returns:
        A new contiguous tensor of the shape and dtype of x, rounded once. Where a is infinite it is NaN, as in PyTorch.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if a
            gradient of the result is requested.
        TypeError: a dtype is not supported, or x has a different one than grad.
        ValueError: x has no dimension or an odd last one, or grad a different shape or device than stated.
    """
    return _op(grad, x)
