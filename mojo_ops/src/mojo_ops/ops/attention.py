"""attention: scaled dot-product attention over a key/value cache, https://arxiv.org/abs/1706.03762."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "attention",
    outputs=(("batch", "queries", "heads", "head"),),
    inputs=(
        ("batch", "queries", "heads", "head"),
        ("batch", "keys", "key_heads", "head"),
        ("batch", "keys", "key_heads", "head"),
        ("batch",),
    ),
    optional=(3,),
    input_dtypes={3: "int64"},
    scalars=("float32", "int64"),
)


def _run(
    out: Tensor, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool
) -> None:
    if out.numel():
        launch(KERNEL, (), (), (out, query, key, value, lengths), (scale, causal))


_op = define(
    KERNEL,
    "(Tensor query, Tensor key, Tensor value, Tensor? lengths, float scale, bool causal) -> Tensor",
    _run,
    differentiable=True,
)

no_gradient(
    "attention", "is for inference and has no gradient; F.scaled_dot_product_attention has one", autocast="lower"
)


@differentiable(_op)
def attention(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Tensor:
    """Computes softmax(scale * query key^T) value for every head, over the keys that a query may see.

    Sequence b has lengths[b] valid keys, and if causal its S queries belong to the last S of them: query i sees
    keys 0 to lengths[b] - S + i. A query that sees no key gives zeros. The cache behind lengths[b] is not read.

    Args:
        query: [B, S, N, D] with D up to 256; float32, bfloat16 or float16.
        key: [B, T, Nk, D] with Nk a divisor of N (groups of heads share a key head) and T below 2^31.
        value: as key.
        lengths: int64 [B], or None where all T keys are valid. On a GPU, values are clamped
            to 0 to T.
        scale: factor of the scores, usually 1 / sqrt(D).
        causal: whether a query sees no key behind its own.

    Returns:
        A new contiguous tensor of the shape and dtype of query. Sums are computed in float32; bfloat16 weights are
        rounded to bfloat16 for the product with value where the CPU multiplies bfloat16. There is no gradient.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU, or a length below 0 or above T there; other
            devices raise the types below.
        TypeError: a dtype is not supported, or key or value has a different one than query.
        ValueError: a shape or a device does not fit that of query.
    """
    return _op(query, key, value, lengths, scale, causal)
