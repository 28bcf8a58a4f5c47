"""rms_norm_backward: the gradients of rms_norm, https://arxiv.org/abs/1910.07467."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "rms_norm_backward",
    outputs=(("rows", "columns"), ("columns",)),
    inputs=(("rows", "columns"), ("rows", "columns"), ("columns",)),
    scalars=1,
)


def check(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> None:
    """Raises TypeError or ValueError unless these are the arguments of rms_norm and the gradient of its result."""
    checks.norm_gradient("rms_norm_backward", grad, x, weight)


def empty(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(grad, x, weight, eps)
    new = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (x, weight)]
    return new[0], new[1]


def _check_out(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, *, grad_x: Tensor, grad_weight: Tensor
) -> tuple[Tensor, Tensor]:
    check(grad, x, weight, eps)
    checks.output("rms_norm_backward", "grad_x", grad_x, x.shape, "the shape of x", "x", x)
    checks.output(
        "rms_norm_backward", "grad_weight", grad_weight, weight.shape, "the shape of weight", "weight", weight
    )
    return grad_x, grad_weight


def _run(outputs: tuple[Tensor, Tensor], grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> None:
    grad_x, *sums = outputs
    if x.numel():
        rows = [t.contiguous().view(-1, x.shape[-1]) for t in (grad_x, grad, x)]
        launch(KERNEL, (), (), (rows[0], *sums, *rows[1:], weight), (eps,))
    else:
        for tensor in sums:
            tensor.zero_()


_op = define(
    KERNEL,
    "(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)",
    "(Tensor grad, Tensor x, Tensor weight, float eps, *, Tensor(a!) grad_x, Tensor(b!) grad_weight) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)
no_gradient("rms_norm_backward", "has no gradient: rms_norm is differentiated once")


@differentiable(_op)
def rms_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Computes the gradients of rms_norm, in float32.

    With s = 1 / sqrt(mean(x^2) + eps) and q = grad * weight they are s q - x s^3 mean(q x), the means over the last
    dimension, and the sum of grad x s over all others.
    The result is the same bit for bit whatever the number of threads, and from call to call on a GPU.

    Args:
        grad: of the result of rms_norm; shape, dtype and device of x.
        x: [..., D]; float32, bfloat16 or float16.
        weight: [D], dtype and device of x.
        eps: as given to rms_norm.

    Returns:
        New contiguous tensors, of the shapes of x and weight and the dtype of x.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not supported, or x or weight has another one than grad.
        ValueError: x has no dimension, or an argument another shape or device than stated.
    """
    return _op(grad, x, weight, eps)
