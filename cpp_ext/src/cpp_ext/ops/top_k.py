"""top_k: the largest elements of the last dimension and where they are."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_top_k = torch.ops.cpp_ext.top_k.default


@differentiable(_top_k)
def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest elements of the last dimension, in descending order, and their indices.

    Order as of ``torch.sort(x, stable=True, descending=True)``: NaN is larger than every number, -0.0 equals 0.0, and
    of equal elements that of the lower index comes first, which ``torch.topk`` leaves open.

    Args:
        x: shape [..., D], D below 2^32; float32, bfloat16 or float16.
        k: 1 to 256, at most D.

    Returns:
        Two contiguous tensors of shape [..., k]: values, in the dtype of x, and indices, int64. The gradient of x is
        that of values, at the indices.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or value.
    """
    return _top_k(x, k)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.shape = inputs[0].shape


def _backward(ops: Any, ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    (indices,) = ctx.saved_tensors
    # Like torch.topk, in place unless vmap batches the gradient; always out of place would take 2.3 times as long.
    return torch.ops.aten.value_selecting_reduction_backward(grad, -1, indices, ctx.shape, True), None


register_autograd("top_k", _backward, _save)
