"""add: the sum of two tensors of one shape."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import register_autograd
from .._direct import differentiable
from .._fake import register_fake

_add = torch.ops.cpp_ext.add.default


@differentiable(_add)
def add(a: Tensor, b: Tensor) -> Tensor:
    """The elementwise sum a + b, without broadcasting.

    Args:
        a: any shape; float32, bfloat16 or float16.
        b: shape, dtype and device of a.

    Returns:
        A contiguous tensor of the shape and dtype of a. The sum is computed in float32.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _add(a, b)


def _check(a: Tensor, b: Tensor) -> None:
    checks.same_device("add", a=a, b=b)
    checks.float_dtype("add", a=a, b=b)
    checks.shape("add", "b", b, a.shape, "the shape of a")


@register_fake("add")
def _(a: Tensor, b: Tensor) -> Tensor:
    _check(a, b)
    return a.new_empty(a.shape)


@register_fake("add.out")
def _(a: Tensor, b: Tensor, *, out: Tensor) -> None:
    _check(a, b)
    checks.out("add", "out", out, a, "a", a.shape, "the shape of a")


register_autograd("add", lambda ops, ctx, grad: (grad,) * 2, autocast="widest")
