"""rope: rotary position embedding of query and key, https://arxiv.org/abs/2104.09864."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel(
    "rope",
    outputs=(("batch", "sequence", "heads", "head"), ("batch", "sequence", "key_heads", "head")),
    inputs=(
        ("batch", "sequence", "heads", "head"),
        ("batch", "sequence", "key_heads", "head"),
        ("positions", "head"),
        ("positions", "head"),
        ("batch", "sequence"),
    ),
    optional=(4,),
    scalars=("int64",),
    input_dtypes={4: "int64"},
)


def prepared(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None, interleaved: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, bool]:
    """The arguments as the kernel takes them, with a position for each token."""
    if positions is not None:
        positions = positions.expand(query.shape[:2])
    return query, key, cos, sin, positions, interleaved


def _run(
    outputs: tuple[Tensor, Tensor],
    query: Tensor,
    key: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor | None = None,
    interleaved: bool = False,
) -> None:
    query_out, key_out = outputs
    if query_out.numel() or key_out.numel():
        *tensors, _ = prepared(query, key, cos, sin, positions, interleaved)
        launch(KERNEL, (), (), (query_out, key_out, *tensors), (interleaved,))


_ARGUMENTS = "Tensor query, Tensor key, Tensor cos, Tensor sin, Tensor? positions=None, bool interleaved=False"

_op = define(KERNEL, f"({_ARGUMENTS}) -> (Tensor query_out, Tensor key_out)", _run, differentiable=True)


def _swap_pairs(x: Tensor, interleaved: bool) -> Tensor:
    """Swaps the two elements of each rotated pair."""
    if interleaved:
        return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x.roll(x.shape[-1] // 2, -1)


def _table_gradient(grad: Tensor, like: Tensor, positions: Tensor | None) -> Tensor:
    """The gradient of a table, from the gradient of each token's row [B, S, D]; sums rows that several tokens use."""
    if positions is None:
        return grad.sum(0).to(like.dtype)
    rows = positions.expand(grad.shape[:2]).reshape(-1)
    # Not in place, because under vmap the gradients have a batch dimension that the table lacks.
    return grad.new_zeros(like.shape).index_add(0, rows, grad.reshape(-1, grad.shape[-1])).to(like.dtype)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    query, key, cos, sin, positions, ctx.interleaved = inputs
    tables = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
    ctx.save_for_backward(cos, sin, positions, *((query, key) if tables else ()))
    ctx.set_materialize_grads(False)  # zeros for an unused output would add 0 * inf to the gradients of the tables


def _gradient(ops: Any, ctx: Any, query_grad: Tensor | None, key_grad: Tensor | None) -> tuple[Tensor | None, ...]:
    grads = [g for g in (query_grad, key_grad) if g is not None]
    if not grads:
        return (None,) * 6
    # The transposed rotation is also a rotation: y[i] = g[i] cos[i] + g[j] sin[j] for the pair (i, j).
    cos, sin, positions, *inputs = ctx.saved_tensors
    no_heads = grads[0][:, :, :0]
    of_query, of_key = ops.rope(
        no_heads if query_grad is None else query_grad,
        no_heads if key_grad is None else key_grad,
        cos,
        -_swap_pairs(sin, ctx.interleaved),
        positions,
        ctx.interleaved,
    )
    cos_grad = sin_grad = None
    if inputs:
        sign = torch.ones(sin.shape[-1], device=sin.device)
        (sign[::2] if ctx.interleaved else sign[: sin.shape[-1] // 2]).fill_(-1)
        of_cos = of_sin = torch.zeros((), device=sin.device)
        for grad, x in zip((query_grad, key_grad), inputs, strict=True):
            if grad is not None:
                of_cos = of_cos + (grad.float() * x.float()).sum(2)
                of_sin = of_sin + (grad.float() * _swap_pairs(x.float(), ctx.interleaved) * sign).sum(2)
        cos_grad, sin_grad = _table_gradient(of_cos, cos, positions), _table_gradient(of_sin, sin, positions)
    return (
        None if query_grad is None else of_query,
        None if key_grad is None else of_key,
        cos_grad,
        sin_grad,
        None,
        None,
    )


register_autograd("rope", _gradient, _setup, autocast="widest")


@differentiable(_op)
def rope(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None, interleaved: bool = False
) -> tuple[Tensor, Tensor]:
    """Computes x * cos + rotate(x) * sin for query and key.

    The rotated pairs are (i, i + D/2), as in Llama: rotate(x) = cat(-x[D/2:], x[:D/2]); interleaved they are
    (2i, 2i + 1), as in GPT-J: rotate(x)[2i] = -x[2i + 1] and rotate(x)[2i + 1] = x[2i].

    Args:
        query: [B, S, N, D] with D even; float32, bfloat16 or float16.
        key: [B, S, Nk, D]; fewer heads are allowed (grouped-query attention).
        cos: [S, D], cosine for every position, or [P, D] with positions; the two angles of a pair may differ.
        sin: sine, as cos.
        positions: [B, S], or [S] for all of the batch; int64: the row of the tables for each token.
        interleaved: which pairs are rotated.

    Returns:
        Rotated query and key, new contiguous tensors. Query, key, cos and sin have gradients.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU, where a position that is no row of the tables is one
            too (a GPU takes the nearest row); the exceptions below come from others.
        TypeError: a dtype is not supported, or the first four have not one dtype.
        ValueError: a shape or a device does not fit that of query, or D is odd.
    """
    return _op(query, key, cos, sin, positions, interleaved)
