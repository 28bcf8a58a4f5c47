"""sum4: the sum of four tensors of one shape."""

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

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


register_autograd("sum4", lambda ops, ctx, grad: (grad,) * 4, autocast="float32")
