"""rope: rotary position embedding of query and key, https://arxiv.org/abs/2104.09864."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import direct
from ..kernel import Kernel
from ..register import define, launch

KERNEL = Kernel(
    "rope",
    outputs=(("batch", "sequence", "heads", "head"), ("batch", "sequence", "key_heads", "head")),
    inputs=(
        ("batch", "sequence", "heads", "head"),
        ("batch", "sequence", "key_heads", "head"),
        ("sequence", "head"),
        ("sequence", "head"),
    ),
)


def check(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Raises TypeError or ValueError unless the four are floating-point and fit each other."""
    checks.dtype("rope", "query", query, checks.FLOATS)
    checks.rank("rope", "query", query, 4, "B, S, N, D")
    batch, sequence, _, head = query.shape
    if head % 2:
        raise ValueError(f"rope: query has head dimension {head}, expected an even number")
    checks.like("rope", "key", key, "query", query)
    checks.rank("rope", "key", key, 4, "B, S, N, D")
    key_shape = key.shape
    if key_shape[0] != batch or key_shape[1] != sequence or key_shape[3] != head:
        raise ValueError(f"rope: key has shape {list(key_shape)}, expected [{batch}, {sequence}, N, {head}], as query")
    for name, table in (("cos", cos), ("sin", sin)):
        checks.like("rope", name, table, "query", query)
        checks.shape("rope", name, table, (sequence, head), "sequence and head dimension of query")


def empty(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(query, key, cos, sin)
    return (
        torch.empty_like(query, memory_format=torch.contiguous_format),
        torch.empty_like(key, memory_format=torch.contiguous_format),
    )


def _check_out(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *, query_out: Tensor, key_out: Tensor
) -> tuple[Tensor, Tensor]:
    check(query, key, cos, sin)
    checks.output("rope", "query_out", query_out, query.shape, "the shape of query", "query", query)
    checks.output("rope", "key_out", key_out, key.shape, "the shape of key", "key", key)
    return query_out, key_out


def _run(outputs: tuple[Tensor, Tensor], query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> None:
    query_out, key_out = outputs
    if query_out.numel() or key_out.numel():
        launch(KERNEL, (), (), (query_out, key_out, query, key, cos, sin))


_op = define(
    KERNEL,
    "(Tensor query, Tensor key, Tensor cos, Tensor sin) -> (Tensor, Tensor)",
    "(Tensor query, Tensor key, Tensor cos, Tensor sin, *, Tensor(a!) query_out, Tensor(b!) key_out) -> ()",
    empty,
    _check_out,
    _run,
)


@direct(_op)
def rope(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Computes x * cos + rotate_half(x) * sin for query and key, with rotate_half(x) = cat(-x[D/2:], x[:D/2]).

    Args:
        query: [B, S, N, D] with D even; float32, bfloat16 or float16.
        key: [B, S, Nk, D]; fewer heads are allowed (grouped-query attention).
        cos: [S, D], cosine for every position; its halves may differ.
        sin: [S, D], sine for every position.

    Returns:
        Rotated query and key, new contiguous tensors.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not supported, or the four have not one dtype.
        ValueError: a shape or a device does not fit that of query, or D is odd.
    """
    return _op(query, key, cos, sin)
