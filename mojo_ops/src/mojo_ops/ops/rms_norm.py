"""rms_norm: root-mean-square layer normalisation, https://arxiv.org/abs/1910.07467."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import direct
from ..kernel import Kernel
from ..register import define, launch

KERNEL = Kernel("rms_norm", outputs=(("rows", "columns"),), inputs=(("rows", "columns"), ("columns",)), scalars=1)


def check(x: Tensor, weight: Tensor, eps: float) -> None:
    """Raises TypeError or ValueError unless x is floating-point and weight fits its last dimension."""
    checks.dtype("rms_norm", "x", x, checks.FLOATS)
    checks.like("rms_norm", "weight", weight, "x", x)
    if x.dim() == 0:
        raise ValueError("rms_norm: x has 0 dimensions, expected at least 1")
    checks.shape("rms_norm", "weight", weight, x.shape[-1:], "the last dimension of x")


def empty(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(x, weight, eps)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _check_out(x: Tensor, weight: Tensor, eps: float, *, out: Tensor) -> Tensor:
    check(x, weight, eps)
    checks.output("rms_norm", "out", out, x.shape, "the shape of x", "x", x)
    return out


def _run(out: Tensor, x: Tensor, weight: Tensor, eps: float) -> None:
    if n := out.numel():
        columns = x.shape[-1]
        launch(KERNEL, (out, x), (n // columns, columns), (weight,), (eps,))


_op = define(
    KERNEL,
    "(Tensor x, Tensor weight, float eps) -> Tensor",
    "(Tensor x, Tensor weight, float eps, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
)


@direct(_op)
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Computes x / sqrt(mean(x^2) + eps) * weight over the last dimension, in float32.

    Args:
        x: [..., D]; float32, bfloat16 or float16.
        weight: [D], dtype and device of x.
        eps: added to the mean square, rounded to float32.

    Returns:
        A new contiguous tensor of the shape and dtype of x.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not supported, or weight has another one than x.
        ValueError: x has no dimension, or weight another shape or device than stated.
    """
    return _op(x, weight, eps)
