"""sum4 and sum8: the sum of so many tensors, which show what each tensor of a call costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

SUM4 = Kernel("sum4", outputs=(("n",),), inputs=(("n",),) * 4, dtypes=("float32",))
SUM8 = Kernel("sum8", outputs=(("n",),), inputs=(("n",),) * 8, dtypes=("float32",))
NAMES = "abcdefgh"


def check(*addends: Tensor) -> None:
    """Raises TypeError or ValueError unless all tensors are float32 and alike."""
    op, a = f"sum{len(addends)}", addends[0]
    checks.dtype(op, "a", a, (torch.float32,))
    for name, tensor in zip(NAMES[1:], addends[1:], strict=False):
        checks.like(op, name, tensor, "a", a)
        checks.shape(op, name, tensor, a.shape, "the shape of a")


def empty(*addends: Tensor) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(*addends)
    return torch.empty_like(addends[0], memory_format=torch.contiguous_format)


def _check_out(*addends: Tensor, out: Tensor) -> Tensor:
    check(*addends)
    checks.output(f"sum{len(addends)}", "out", out, addends[0].shape, "the shape of a", "a", addends[0])
    return out


def _define(kernel: Kernel) -> Any:
    count = len(kernel.inputs)
    tensors = ", ".join(f"Tensor {name}" for name in NAMES[:count])

    def run(out: Tensor, *addends: Tensor) -> None:
        if n := out.numel():
            launch(kernel, (out, *addends), (n,))

    schemas = f"({tensors}) -> Tensor", f"({tensors}, *, Tensor(a!) out) -> ()"
    op = define(kernel, *schemas, empty, _check_out, run, differentiable=True)
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
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not float32.
        ValueError: a tensor has another shape or device than a.
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
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not float32.
        ValueError: a tensor has another shape or device than a.
    """
    return _sum8(a, b, c, d, e, f, g, h)
