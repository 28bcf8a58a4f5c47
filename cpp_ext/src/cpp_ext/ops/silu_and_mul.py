"""silu_and_mul: the SiLU of one half of the last dimension times the other half."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_silu_and_mul = torch.ops.cpp_ext.silu_and_mul.default


@differentiable(_silu_and_mul)
def silu_and_mul(x: Tensor) -> Tensor:
    """silu(x[..., :d]) * x[..., d:] with silu(a) = a / (1 + exp(-a)), d being half of the last dimension.

    Formula: Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202, equation 6 (SwiGLU), behind the two
    products as one.

    Args:
        x: shape [..., 2d]; float32, bfloat16 or float16.

    Returns:
        A contiguous tensor of shape [..., d] and the dtype of x. Computed in float32 and rounded once; SiLU of -inf is
        NaN as in PyTorch.

    Raises:
        RuntimeError: x has an unexpected dtype, no dimension, or an odd last one.
    """
    return _silu_and_mul(x)


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


register_autograd("silu_and_mul", lambda ops, ctx, grad: ops.silu_and_mul_backward(grad, *ctx.saved_tensors), _save)
