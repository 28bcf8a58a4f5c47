"""fused_add_rms_norm: residual addition and root-mean-square normalisation in place, arXiv:1910.07467."""

from __future__ import annotations

from torch import Tensor

from .._direct import direct
from ..kernel import Kernel
from ..register import define_in_place, launch

KERNEL = Kernel(
    "fused_add_rms_norm",
    outputs=(("rows", "columns"), ("rows", "columns")),
    inputs=(("columns",),),
    scalars=1,
    in_place=True,
)


def _run(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> None:
    if n := x.numel():
        columns = x.shape[-1]
        launch(KERNEL, (x, residual), (n // columns, columns), (weight,), (eps,))


_op = define_in_place(KERNEL, "(Tensor(a!) x, Tensor(b!) residual, Tensor weight, float eps) -> ()", _run)


@direct(_op)
def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> None:
    """Computes residual = x + residual, then x = residual / sqrt(mean(residual^2) + eps) * weight, both in place.

    Formula: Zhang and Sennrich, https://arxiv.org/abs/1910.07467. The sum is rounded to the dtype before it is
    normalised, so that the result is that of the two steps one after the other.

    Args:
        x: [..., D], contiguous; float32, bfloat16 or float16. Becomes the normalised sum.
        residual: shape, dtype and device of x, contiguous, in memory of its own. Becomes the sum.
        weight: [D], dtype and device of x.
        eps: added to the mean square, rounded to float32.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if an
            argument requires a gradient; ``add_rms_norm`` has one.
        TypeError: a dtype is not supported, or a different one than x.
        ValueError: x has no dimension, or a tensor has a different shape, device or layout than stated.
    """
    return _op(x, residual, weight, eps)
