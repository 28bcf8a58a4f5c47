"""sum4: the sum of four tensors of one shape."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import register_autograd
from .._direct import differentiable
from .._fake import register_fake

_sum4 = torch.ops.cpp_ext.sum4.default


@differentiable(_sum4)
def sum4(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The elementwise sum a + b + c + d, added in this order, without broadcasting.

    Args:
        a: any shape; float32.
        b to d: shape, dtype and device of a.

    Returns:
        A contiguous float32 tensor of the shape of a.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _sum4(a, b, c, d)


def _check(**tensors: Tensor) -> None:
    (_, a), *others = tensors.items()
    checks.same_device("sum4", **tensors)
    checks.dtype("sum4", "a", a, torch.float32)
    checks.float_dtype("sum4", **tensors)
    for name, tensor in others:
        checks.shape("sum4", name, tensor, a.shape, "the shape of a")


@register_fake("sum4")
def _(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    _check(a=a, b=b, c=c, d=d)
    return a.new_empty(a.shape)


@register_fake("sum4.out")
def _(a: Tensor, b: Tensor, c: Tensor, d: Tensor, *, out: Tensor) -> None:
    _check(a=a, b=b, c=c, d=d)
    checks.out("sum4", "out", out, a, "a", a.shape, "the shape of a")


register_autograd("sum4", lambda ops, ctx, grad: (grad,) * 4, autocast="float32")
