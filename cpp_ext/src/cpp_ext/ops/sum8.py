"""sum8: the sum of eight tensors of one shape."""

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

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


register_autograd("sum8", lambda ops, ctx, grad: (grad,) * 8, autocast="float32")
