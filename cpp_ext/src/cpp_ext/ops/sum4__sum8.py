"""sum4 and sum8: sums of four and eight tensors, which show the cost of each tensor in a call."""

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

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
        RuntimeError: an argument has an unexpected dtype, shape or device.
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
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _sum8(a, b, c, d, e, f, g, h)


for _op, _count in (("sum4", 4), ("sum8", 8)):
    register_autograd(_op, lambda ops, ctx, grad, count=_count: (grad,) * count, autocast="float32")
