"""rms_norm_backward: the gradients of rms_norm, https://arxiv.org/abs/1910.07467."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "rms_norm_backward",
    outputs=(("rows", "columns"), ("columns",)),
    inputs=(("rows", "columns"), ("rows", "columns"), ("columns",)),
    scalars=1,
)


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
    "(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor grad_x, Tensor grad_weight)",
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
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or x or weight has a different one than grad.
        ValueError: x has no dimension, or an argument a different shape or device than stated.
    """
    return _op(grad, x, weight, eps)
