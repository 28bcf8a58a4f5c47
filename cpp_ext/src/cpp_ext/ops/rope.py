"""rope: rotary position embedding of query and key."""

import torch
from torch import Tensor

from .. import checks
from .._direct import direct
from .._fake import register_fake

_rope = torch.ops.cpp_ext.rope.default


@direct(_rope)
def rope(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """y = x cos + rotate_half(x) sin for x = query and x = key, rotate_half(x) = cat(-x[D/2:], x[:D/2]).

    Formula: Su et al., RoFormer, 2021, arXiv:2104.09864, equation 34, with the rotated pairs (i, i + D/2).

    Args:
        query: shape [B, S, N, D], D even; float32, bfloat16 or float16.
        key: shape [B, S, Nk, D], dtype and device of query.
        cos: shape [S, D], dtype and device of query; its two halves may differ.
        sin: as cos.

    Returns:
        Two contiguous tensors of the shapes of query and key. Products are computed in float32.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _rope(query, key, cos, sin)


def _check(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> None:
    checks.same_device("rope", query=query, key=key, cos=cos, sin=sin)
    checks.float_dtype("rope", query=query, key=key, cos=cos, sin=sin)
    for name, x in (("query", query), ("key", key)):
        checks.require(
            x.dim() == 4,
            f"rope: {name} has {x.dim()} dimensions, expected 4 (batch, sequence, heads, head dimension)",
        )
    batch, sequence, _, dim = query.shape
    checks.require(dim % 2 == 0, f"rope: query has head dimension {dim}, expected an even number")
    checks.require(
        key.shape[0] == batch and key.shape[1] == sequence and key.shape[3] == dim,
        f"rope: key has shape {list(key.shape)}, expected [{batch}, {sequence}, N, {dim}], as query",
    )
    checks.shape("rope", "cos", cos, (sequence, dim), "sequence and head dimension of query")
    checks.shape("rope", "sin", sin, (sequence, dim), "sequence and head dimension of query")


@register_fake("rope")
def _(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    _check(query, key, cos, sin)
    return query.new_empty(query.shape), key.new_empty(key.shape)


@register_fake("rope.out")
def _(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *, query_out: Tensor, key_out: Tensor) -> None:
    _check(query, key, cos, sin)
    checks.out("rope", "query_out", query_out, query, "query", query.shape, "the shape of query")
    checks.out("rope", "key_out", key_out, key, "key", key.shape, "the shape of key")
