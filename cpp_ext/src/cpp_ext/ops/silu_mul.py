"""silu_mul: the SiLU of one tensor times another one of its shape."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_silu_mul = torch.ops.cpp_ext.silu_mul.default


@differentiable(_silu_mul)
def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up with silu(a) = a / (1 + exp(-a)), elementwise and without broadcasting.

    Formula: Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202, equation 6 (SwiGLU), behind its two
    products.

    Args:
        gate: any shape; float32, bfloat16 or float16.
        up: shape, dtype and device of gate.

    Returns:
        A contiguous tensor of the shape and dtype of gate. Computed in float32 and rounded once; SiLU of -inf is NaN as
        in PyTorch.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _silu_mul(gate, up)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    return ops.silu_mul_backward(grad, *ctx.saved_tensors)


register_autograd("silu_mul", _gradient, _save, autocast="widest")
