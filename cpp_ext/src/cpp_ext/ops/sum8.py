"""sum8: the sum of eight tensors of one shape."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import register_autograd
from .._direct import differentiable
from .._fake import register_fake

_sum8 = torch.ops.cpp_ext.sum8.default


@differentiable(_sum8)
def sum8(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """The elementwise sum a + b + c + d + e + f + g + h, added in this order, without broadcasting.

    Args:
        a: any shape; float32.
        b to h: shape, dtype and device of a.

    Returns:
        A contiguous float32 tensor of the shape of a.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _sum8(a, b, c, d, e, f, g, h)


def _check(**tensors: Tensor) -> None:
    (_, a), *others = tensors.items()
    checks.same_device("sum8", **tensors)
    checks.dtype("sum8", "a", a, torch.float32)
    checks.float_dtype("sum8", **tensors)
    for name, tensor in others:
        checks.shape("sum8", name, tensor, a.shape, "the shape of a")


@register_fake("sum8")
def _(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor) -> Tensor:
    _check(a=a, b=b, c=c, d=d, e=e, f=f, g=g, h=h)
    return a.new_empty(a.shape)


@register_fake("sum8.out")
def _(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor, g: Tensor, h: Tensor, *, out: Tensor) -> None:
    _check(a=a, b=b, c=c, d=d, e=e, f=f, g=g, h=h)
    checks.out("sum8", "out", out, a, "a", a.shape, "the shape of a")


register_autograd("sum8", lambda ops, ctx, grad: (grad,) * 8, autocast="float32")
