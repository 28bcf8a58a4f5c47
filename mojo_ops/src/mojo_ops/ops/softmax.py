"""softmax: of scaled scores with an additive mask, over the last dimension."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

_DIMENSIONS = 4  # row dimensions in the graph for a GPU

# The dimensions of the mask are independent of those of x in a GPU graph, because it is optional: each may be 1.
KERNEL = Kernel(
    "softmax",
    outputs=(("d0", "d1", "d2", "d3", "columns"),),
    inputs=(("d0", "d1", "d2", "d3", "columns"), ("d0", "d1", "d2", "d3", "columns")),
    optional=(1,),
    scalars=1,
)


def _row_sizes(x: Tensor, mask: Tensor) -> list[tuple[int, bool]]:
    """The row dimensions of x, and whether the mask varies along each. Merges neighbouring dimensions that agree."""
    sizes: list[tuple[int, bool]] = []
    mask_sizes = (1,) * (x.dim() - mask.dim()) + tuple(mask.shape)
    for size, mask_size in zip(x.shape[:-1], mask_sizes, strict=False):
        if size == 1:
            continue
        is_varying = mask_size != 1
        if sizes and sizes[-1][1] == is_varying:
            size *= sizes.pop()[0]
        sizes.append((size, is_varying))
    return sizes


def _run(out: Tensor, x: Tensor, mask: Tensor | None, scale: float) -> None:
    if out.numel() == 0:
        return
    columns = x.shape[-1]
    sizes = [(x.numel() // columns, False)] if mask is None else _row_sizes(x, mask)
    if mask is not None and len(sizes) > _DIMENSIONS:  # more alternations between broadcast and other dimensions
        mask = mask.expand(x.shape)
        sizes = [(x.numel() // columns, True)]
    sizes = [(1, False)] * (_DIMENSIONS - len(sizes)) + sizes
    shape = (*(size for size, _ in sizes), columns)
    if mask is not None:
        mask_columns = mask.shape[-1] if mask.dim() else 1
        mask = mask.reshape(*(size if is_varying else 1 for size, is_varying in sizes), mask_columns)
    launch(KERNEL, (), (), (out.view(shape), x.reshape(shape), mask), (scale,))


_op = define(KERNEL, "(Tensor x, Tensor? mask, float scale) -> Tensor", _run, differentiable=True)


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
        if ctx.mask_shape[-1:] in ((), (1,)):  # the softmax does not depend on a value per row; NaN stays
            mask_grad = mask_grad * 0
    return x_grad, mask_grad, None


register_autograd("softmax", _gradient, _save, autocast="float32")


@differentiable(_op)
def softmax(x: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Computes softmax(scale * x + mask) over the last dimension: e^t / sum(e^t) for t = scale * x + mask, in float32.

    The scores of attention: Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, equation 1.
    Differentiable in x and mask; a second derivative raises.

    Args:
        x: [..., D]; float32, bfloat16 or float16.
        mask: added to the scaled scores, or None; dtype and device of x, a shape that broadcasts to that of x. Where it
            is -inf the result is exactly 0; a row of -inf alone is NaN, as in PyTorch.
        scale: factor of x, rounded to float32.

    Returns:
        A new contiguous tensor of the shape and dtype of x.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or mask has a different one than x.
        ValueError: x has no dimension, or mask is on another device or does not broadcast to x.
    """
    return _op(x, mask, scale)
