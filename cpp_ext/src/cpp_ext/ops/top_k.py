"""top_k: the largest elements of the last dimension and where they are."""

from typing import Any

import torch
from torch import Tensor

from .. import checks
from .._autograd import register_autograd
from .._direct import differentiable
from .._fake import register_fake

_top_k = torch.ops.cpp_ext.top_k.default

MAX_K = 256


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
        RuntimeError: an argument has another dtype, shape or value than expected.
    """
    return _top_k(x, k)


def _check(x: Tensor, k: int) -> tuple[int, ...]:
    checks.float_dtype("top_k", x=x)
    checks.require(x.dim() >= 1, f"top_k: x has {x.dim()} dimensions, expected at least 1")
    size = x.shape[-1]
    checks.require(
        1 <= k <= MAX_K and k <= size,
        f"top_k: k is {k}, expected 1 to {MAX_K} and at most {size}, the last dimension of x",
    )
    return (*x.shape[:-1], k)


@register_fake("top_k")
def _(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = _check(x, k)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


@register_fake("top_k.out")
def _(x: Tensor, k: int, *, values: Tensor, indices: Tensor) -> None:
    shape, why = _check(x, k), "the shape of x with k as its last dimension"
    checks.out("top_k", "values", values, x, "x", shape, why)
    checks.out("top_k", "indices", indices, x, "x", shape, why, torch.int64)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.shape = inputs[0].shape


def _backward(ops: Any, ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    (indices,) = ctx.saved_tensors
    # As torch.topk: into zeros in place, unless vmap batches the gradient. Out of place always: 2.3 times as long.
    return torch.ops.aten.value_selecting_reduction_backward(grad, -1, indices, ctx.shape, True), None


register_autograd("top_k", _backward, _save)
