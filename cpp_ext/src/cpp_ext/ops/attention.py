"""attention: scaled dot-product attention over a key/value cache."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_attention = torch.ops.cpp_ext.attention.default


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
        RuntimeError: an argument has an unexpected dtype, shape or device, or, on the CPU, a length is
            negative or greater than T.
    """
    return _attention(query, key, value, lengths, scale, causal)


no_gradient(
    "attention", "is for inference and has no gradient; F.scaled_dot_product_attention has one", autocast="lower"
)
