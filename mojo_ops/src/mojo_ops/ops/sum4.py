"""sum4: the sum of 4 tensors; a probe for what a call with many arguments costs."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("sum4", outputs=(("n",),), inputs=(("n",), ("n",), ("n",), ("n",)), dtypes=("float32",))


def check(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> None:
    """Raises TypeError or ValueError unless all tensors are float32 and alike."""
    checks.dtype("sum4", "a", a, (torch.float32,))
    for name, tensor in zip("bcd", (b, c, d), strict=True):
        checks.like("sum4", name, tensor, "a", a)
        checks.shape("sum4", name, tensor, a.shape, "the shape of a")


def empty(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(a, b, c, d)
    return torch.empty_like(a, memory_format=torch.contiguous_format)


def _check_out(a: Tensor, b: Tensor, c: Tensor, d: Tensor, *, out: Tensor) -> Tensor:
    check(a, b, c, d)
    checks.output("sum4", "out", out, a.shape, "the shape of a", "a", a)
    return out


def _run(out: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, a, b, c, d), (n,))


_op = define(
    KERNEL,
    "(Tensor a, Tensor b, Tensor c, Tensor d) -> Tensor",
    "(Tensor a, Tensor b, Tensor c, Tensor d, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)


register_autograd("sum4", lambda ops, ctx, grad: (grad,) * 4, autocast="float32")


@differentiable(_op)
def sum4(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Adds 4 tensors in float32, in the order of the arguments.

    Args:
        a: any shape, float32.
        b: shape, dtype and device of a.
        c: shape, dtype and device of a.
        d: shape, dtype and device of a.

    Returns:
        A new contiguous tensor of the shape of a.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not float32.
        ValueError: a tensor has another shape or device than a.
    """
    return _op(a, b, c, d)
