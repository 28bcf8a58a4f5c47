"""sum8: the sum of 8 tensors; a probe for what a call with many arguments costs."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel(
    "sum8",
    outputs=(("n",),),
    inputs=(("n",), ("n",), ("n",), ("n",), ("n",), ("n",), ("n",), ("n",)),
    dtypes=("float32",),
)


def _run(out: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, a, b, c, d, e, f, g, h), (n,))


_op = define(
    KERNEL,
    "(Tensor a, Tensor b, Tensor c, Tensor d, Tensor e, Tensor f, Tensor g, Tensor h) -> Tensor",
    _run,
    differentiable=True,
)


register_autograd("sum8", lambda ops, ctx, grad: (grad,) * 8, autocast="float32")


@differentiable(_op)
def sum8(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """Adds 8 tensors in float32, in the order of the arguments.

    Args:
        a: any shape, float32.
        b: shape, dtype and device of a.
        c: shape, dtype and device of a.
        d: shape, dtype and device of a.
        e: shape, dtype and device of a.
        f: shape, dtype and device of a.
        g: shape, dtype and device of a.
        h: shape, dtype and device of a.

    Returns:
        A new contiguous tensor of the shape of a.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not float32.
        ValueError: a tensor has another shape or device than a.
    """
    return _op(a, b, c, d, e, f, g, h)
