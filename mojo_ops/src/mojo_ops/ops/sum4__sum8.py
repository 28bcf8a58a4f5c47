"""sum4 and sum8: sums of four and eight tensors, which show the cost of each tensor in a call."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

SUM4 = Kernel("sum4", outputs=(("n",),), inputs=(("n",),) * 4, dtypes=("float32",))
SUM8 = Kernel("sum8", outputs=(("n",),), inputs=(("n",),) * 8, dtypes=("float32",))
NAMES = "abcdefgh"


def _define(kernel: Kernel) -> Any:
    count = len(kernel.inputs)
    tensors = ", ".join(f"Tensor {name}" for name in NAMES[:count])

    def run(out: Tensor, *addends: Tensor) -> None:
        if n := out.numel():
            launch(kernel, (out, *addends), (n,))

    op = define(kernel, f"({tensors}) -> Tensor", run, differentiable=True)
    register_autograd(kernel.name, lambda ops, ctx, grad: (grad,) * count, autocast="float32")
    return op


_sum4, _sum8 = _define(SUM4), _define(SUM8)


@differentiable(_sum4)
def sum4(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Adds 4 tensors in float32, in the order of the arguments.

    Args:
        a: any shape, float32.
        b to d: shape, dtype and device of a.

    Returns:
        A new contiguous tensor of the shape of a.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not float32.
        ValueError: a tensor has a different shape or device than a.
    """
    return _sum4(a, b, c, d)


@differentiable(_sum8)
def sum8(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """Adds 8 tensors in float32, in the order of the arguments.

    Args:
        a: any shape, float32.
        b to h: shape, dtype and device of a.

    Returns:
        A new contiguous tensor of the shape of a.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not float32.
        ValueError: a tensor has a different shape or device than a.
    """
    return _sum8(a, b, c, d, e, f, g, h)
