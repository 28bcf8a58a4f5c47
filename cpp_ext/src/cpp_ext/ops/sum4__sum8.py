"""sum4 and sum8: the sum of so many tensors of one shape, which show what each tensor of a call costs."""

from typing import Any

import torch
from torch import Tensor

from .. import checks
from .._autograd import register_autograd
from .._direct import differentiable
from .._fake import register_fake

_sum4, _sum8 = torch.ops.cpp_ext.sum4.default, torch.ops.cpp_ext.sum8.default


@differentiable(_sum4)
def sum4(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The elementwise sum of 4 tensors, added in their order, without broadcasting.

    Args:
        a: any shape; float32.
        b to d: shape, dtype and device of a.

    Returns:
        A contiguous float32 tensor of the shape of a.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _sum4(a, b, c, d)


@differentiable(_sum8)
def sum8(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """The elementwise sum of 8 tensors, added in their order, without broadcasting.

    Args:
        a: any shape; float32.
        b to h: shape, dtype and device of a.

    Returns:
        A contiguous float32 tensor of the shape of a.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _sum8(a, b, c, d, e, f, g, h)


def _register(op: str, names: str) -> None:
    def check(*addends: Tensor) -> None:
        tensors = dict(zip(names, addends, strict=True))
        checks.same_device(op, **tensors)
        checks.dtype(op, "a", addends[0], torch.float32)
        checks.float_dtype(op, **tensors)
        for name in names[1:]:
            checks.shape(op, name, tensors[name], addends[0].shape, "the shape of a")

    @register_fake(op)
    def _(*addends: Tensor) -> Tensor:
        check(*addends)
        return addends[0].new_empty(addends[0].shape)

    @register_fake(f"{op}.out")
    def _(*addends: Tensor, out: Tensor) -> None:
        check(*addends)
        checks.out(op, "out", out, addends[0], "a", addends[0].shape, "the shape of a")

    def backward(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return (grad,) * len(names)

    register_autograd(op, backward, autocast="float32")


_register("sum4", "abcd")
_register("sum8", "abcdefgh")
