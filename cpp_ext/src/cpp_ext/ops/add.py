"""add: the sum of two tensors of one shape."""

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

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
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _add(a, b)


register_autograd("add", lambda ops, ctx, grad: (grad,) * 2, autocast="widest")
