"""sum4: the sum of 4 tensors; a probe for what a call with many arguments costs."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("sum4", outputs=(("n",),), inputs=(("n",), ("n",), ("n",), ("n",)), dtypes=("float32",))


def _run(out: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, a, b, c, d), (n,))


_op = define(KERNEL, "(Tensor a, Tensor b, Tensor c, Tensor d) -> Tensor", _run, differentiable=True)


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
