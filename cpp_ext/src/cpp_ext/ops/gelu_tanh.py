"""gelu_tanh: the tanh form of GELU."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_gelu_tanh = torch.ops.cpp_ext.gelu_tanh.default


@differentiable(_gelu_tanh)
def gelu_tanh(x: Tensor) -> Tensor:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), elementwise.

    Formula: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, arXiv:1606.08415, section 2.

    Args:
        x: any shape; float32, bfloat16 or float16.

    Returns:
        A contiguous tensor of the shape and dtype of x. The value is computed in float32; -inf gives NaN as in PyTorch.

    Raises:
        RuntimeError: x has an unexpected dtype.
    """
    return _gelu_tanh(x)


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


register_autograd("gelu_tanh", lambda ops, ctx, grad: ops.gelu_tanh_backward(grad, *ctx.saved_tensors), _save)
