"""rope: rotary position embedding of query and key."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_rope = torch.ops.cpp_ext.rope.default


@differentiable(_rope)
def rope(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None, interleaved: bool = False
) -> tuple[Tensor, Tensor]:
    """y = x cos + rotate(x) sin for x = query and x = key.

    Formula: Su et al., RoFormer, 2021, arXiv:2104.09864, equation 34. The rotated pairs are (i, i + D/2), as in Llama:
    rotate(x) = cat(-x[D/2:], x[:D/2]); interleaved they are (2i, 2i + 1), as in GPT-J: rotate(x)[2i] = -x[2i + 1] and
    rotate(x)[2i + 1] = x[2i].

    Args:
        query: shape [B, S, N, D], D even; float32, bfloat16 or float16.
        key: shape [B, S, Nk, D], dtype and device of query.
        cos: shape [S, D], dtype and device of query; the two angles of a pair may differ. With positions [P, D].
        sin: as cos.
        positions: shape [B, S], or [S] for all of the batch; int64: the row of the tables for each token.
        interleaved: which pairs are rotated.

    Returns:
        Two contiguous tensors of the shapes of query and key. Products are computed in float32. Query, key, cos and sin
        have gradients.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape or device, or, on the CPU, a position is no row
            of the tables; a GPU takes the nearest row.
    """
    return _rope(query, key, cos, sin, positions, interleaved)


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
