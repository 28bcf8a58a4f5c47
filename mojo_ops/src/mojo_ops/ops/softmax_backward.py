"""softmax_backward: the gradient of softmax by its scores."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "softmax_backward",
    outputs=(("rows", "columns"),),
    inputs=(("rows", "columns"), ("rows", "columns")),
    scalars=1,
)


def check(grad: Tensor, output: Tensor, scale: float) -> None:
    """Raises TypeError or ValueError unless both are floating-point and alike."""
    op = "softmax_backward"
    checks.dtype(op, "grad", grad, checks.FLOATS)
    if grad.dim() == 0:
        raise ValueError(f"{op}: grad has 0 dimensions, expected at least 1")
    checks.like(op, "output", output, "grad", grad)
    checks.shape(op, "output", output, grad.shape, "the shape of grad")


def empty(grad: Tensor, output: Tensor, scale: float) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(grad, output, scale)
    return torch.empty_like(grad, memory_format=torch.contiguous_format)


def _check_out(grad: Tensor, output: Tensor, scale: float, *, out: Tensor) -> Tensor:
    check(grad, output, scale)
    checks.output("softmax_backward", "out", out, grad.shape, "the shape of grad", "grad", grad)
    return out


def _run(out: Tensor, grad: Tensor, output: Tensor, scale: float) -> None:
    if n := out.numel():
        columns = out.shape[-1]
        launch(KERNEL, (out, grad, output), (n // columns, columns), (), (scale,))


_op = define(
    KERNEL,
    "(Tensor grad, Tensor output, float scale) -> Tensor",
    "(Tensor grad, Tensor output, float scale, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)
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
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others. Also where a
            gradient of the result is asked for.
        TypeError: a dtype is not supported, or output has another one than grad.
        ValueError: grad has no dimension, or output another shape or device.
    """
    return _op(grad, output, scale)
