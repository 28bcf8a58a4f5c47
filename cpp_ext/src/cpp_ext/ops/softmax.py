"""softmax: of scaled scores with an additive mask, over the last dimension."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_softmax = torch.ops.cpp_ext.softmax.default


@differentiable(_softmax)
def softmax(x: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(scale * x + mask) over the last dimension: e^t / sum(e^t) for t = scale * x + mask.

    The scores of attention: Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, equation 1.

    Args:
        x: shape [..., D]; float32, bfloat16 or float16.
        mask: added to the scaled scores, or None; dtype and device of x, a shape that broadcasts to that of x. Where it
            is -inf the result is exactly 0; a row of -inf alone is NaN, as in PyTorch.
        scale: factor of x, rounded to float32.

    Returns:
        A contiguous tensor of the shape and dtype of x, computed in float32. Differentiable in x and mask; a
        second derivative raises.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _softmax(x, mask, scale)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, mask, ctx.scale = inputs
    ctx.mask_shape = None if mask is None else mask.shape
    ctx.save_for_backward(output)


def _gradient(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    (output,) = ctx.saved_tensors
    x_grad = mask_grad = None
    if ctx.needs_input_grad[0]:
        x_grad = ops.softmax_backward(grad, output, ctx.scale)
    if ctx.needs_input_grad[1]:
        mask_grad = ops.softmax_backward(grad, output, 1.0).sum_to_size(ctx.mask_shape)
        if ctx.mask_shape[-1:] in ((), (1,)):  # the same for a whole row: nothing depends on it, NaN stays
            mask_grad = mask_grad * 0
    return x_grad, mask_grad, None


register_autograd("softmax", _gradient, _save, autocast="float32")
