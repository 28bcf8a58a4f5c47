"""top_k: the largest elements of the last dimension and where they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel(
    "top_k",
    outputs=(("rows", "k"), ("rows", "k")),
    inputs=(("rows", "columns"),),
    scalars=("int64",),
    output_dtypes={1: "int64"},
)


def _run(outputs: tuple[Tensor, Tensor], x: Tensor, k: int) -> None:
    values, indices = outputs
    if values.numel():
        rows = values.numel() // k
        launch(KERNEL, (), (), (values.view(rows, k), indices.view(rows, k), x.reshape(rows, x.shape[-1])), (k,))


_op = define(KERNEL, "(Tensor x, int k) -> (Tensor values, Tensor indices)", _run, differentiable=True)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.shape = inputs[0].shape


def _gradient(ops: Any, ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    (indices,) = ctx.saved_tensors
    # Like torch.topk, in place unless vmap batches the gradient; always out of place would take 2.3 times as long.
    return torch.ops.aten.value_selecting_reduction_backward(grad, -1, indices, ctx.shape, True), None


register_autograd("top_k", _gradient, _save)


@differentiable(_op)
def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Finds the k largest elements of the last dimension, in descending order, and their indices.

    The order is that of ``torch.sort(x, stable=True, descending=True)``: NaN is larger than every number, -0.0 equals
    0.0, and of equal elements that of the lower index comes first, which ``torch.topk`` leaves open.

    Args:
        x: [..., D] with D below 2^32; float32, bfloat16 or float16.
        k: 1 to 256, at most D.

    Returns:
        Two new contiguous tensors [..., k]: values, in the dtype of x, and indices, int64. The gradient of x is that
        of values, at the indices.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: the dtype is not supported.
        ValueError: x has no dimension, or k is not between 1 and 256 or larger than D.
    """
    return _op(x, k)
