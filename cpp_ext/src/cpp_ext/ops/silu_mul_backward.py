"""silu_mul_backward: the gradients of silu_mul."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_silu_mul_backward = torch.ops.cpp_ext.silu_mul_backward.default


@differentiable(_silu_mul_backward)
def silu_mul_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of silu(gate) * up: grad up s (1 + gate (1 - s)) and grad gate s with s = 1 / (1 + exp(-gate)).

    Formula: the derivatives of Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202, equation 6.

    Args:
        grad: any shape, the gradient of the output; float32, bfloat16 or float16.
        gate: the first input of silu_mul, in the shape and dtype and on the device of grad.
        up: the second input, the same.

    Returns:
        The gradients of gate and of up, two contiguous tensors of the shape and dtype of grad. Computed in float32 and
        rounded once; where gate is infinite they are NaN as in PyTorch.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device, or its gradient is requested.
    """
    return _silu_mul_backward(grad, gate, up)


no_gradient("silu_mul_backward", "is a gradient itself and has none")
