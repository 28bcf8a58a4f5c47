"""add: the sum of two tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("add", outputs=(("n",),), inputs=(("n",), ("n",)))


def _run(out: Tensor, a: Tensor, b: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, a, b), (n,))


_op = define(KERNEL, "(Tensor a, Tensor b) -> Tensor", _run, differentiable=True)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    return grad, grad


register_autograd("add", _gradient, autocast="widest")


@differentiable(_op)
def add(a: Tensor, b: Tensor) -> Tensor:
    """Adds two tensors in float32 and rounds the sum to their dtype.

    Args:
        a: any shape; float32, bfloat16 or float16.
        b: shape, dtype and device of a; nothing is broadcast.

    Returns:
        A new contiguous tensor of the shape of a.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or b has a different one than a.
        ValueError: b has a different shape or device than a.
    """
    return _op(a, b)
