"""attention: scaled dot-product attention over a key/value cache."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import no_gradient
from .._direct import differentiable
from .._fake import register_fake

_attention = torch.ops.cpp_ext.attention.default
_MAX_DIM = 256


@differentiable(_attention)
def attention(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Tensor:
    """softmax(scale * query key^T) value for every head, over the keys that a query may see.

    Sequence b has lengths[b] valid keys, and if causal its S queries belong to the last S of them: query i sees
    keys 0 to lengths[b] - S + i. A query that sees no key gives zeros; what lies behind lengths[b] is not read.

    Formula: Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, equation 1, with the heads in groups
    of N / Nk that share a key head (Ainslie et al. 2023, arXiv:2305.13245).

    Args:
        query: shape [B, S, N, D] with D up to 256; float32, bfloat16 or float16.
        key: shape [B, T, Nk, D] with Nk a divisor of N, dtype and device of query. T is less than 2^31.
        value: the same as key.
        lengths: int64 of shape [B], or None where all T keys are valid. On a GPU values outside 0 to T are taken as
            the nearest of these.
        scale: of the scores, usually 1 / sqrt(D).
        causal: whether a query sees no key behind its own.

    Returns:
        A contiguous tensor of the shape and dtype of query. Sums are computed in float32; bfloat16 weights are
        rounded to bfloat16 for the product with value where the CPU multiplies bfloat16. There is no gradient.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected, or, on the CPU, a length is
            negative or greater than T.
    """
    return _attention(query, key, value, lengths, scale, causal)


def _check(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None) -> None:
    name = "attention"
    checks.same_device(name, query=query, key=key, value=value, lengths=lengths)
    checks.float_dtype(name, query=query)
    for what, tensor in (("query", query), ("key", key), ("value", value)):
        checks.require(
            tensor.dim() == 4,
            f"{name}: {what} has {tensor.dim()} dimensions, expected 4 (batch, sequence, heads, head dimension)",
        )
    batch, _, heads, dim = query.shape
    checks.require(dim <= _MAX_DIM, f"{name}: query has head dimension {dim}, expected at most {_MAX_DIM}")
    checks.float_dtype(name, query=query, key=key, value=value)
    checks.require(
        key.shape[0] == batch and key.shape[3] == dim,
        f"{name}: key has shape {list(key.shape)}, expected [{batch}, T, N, {dim}], batch and head dimension of query",
    )
    checks.require(
        heads == 0 if key.shape[2] == 0 else heads % key.shape[2] == 0,
        f"{name}: key has {key.shape[2]} heads, expected a divisor of {heads}, the heads of query",
    )
    checks.shape(name, "value", value, key.shape, "the shape of key")
    if lengths is not None:
        checks.dtype(name, "lengths", lengths, torch.int64)
        checks.shape(name, "lengths", lengths, (batch,), "the batch of query")


@register_fake("attention")
def _(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Tensor:
    _check(query, key, value, lengths)
    return query.new_empty(query.shape)


@register_fake("attention.out")
def _(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool, *, out: Tensor
) -> None:
    _check(query, key, value, lengths)
    checks.out("attention", "out", out, query, "query", query.shape, "the shape of query")


no_gradient(
    "attention", "is for inference and has no gradient; F.scaled_dot_product_attention has one", autocast="lower"
)
