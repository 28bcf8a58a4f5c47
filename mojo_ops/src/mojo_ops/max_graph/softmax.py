"""softmax in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops
from torch import Tensor


def prepare(x: Tensor, mask: Tensor | None, scale: float) -> tuple[Tensor, Tensor | None, float]:
    """Expands the mask to the shape of x, because a MAX graph is compiled for fixed broadcast dimensions."""
    return x, None if mask is None else mask.expand(x.shape).contiguous(), scale


def graph(x: TensorValue, mask: TensorValue | None, scale: float) -> TensorValue:
    """Softmax of scale * x + mask in float32."""
    scores = ops.cast(x, DType.float32) * scale
    if mask is not None:
        scores = scores + ops.cast(mask, DType.float32)
    return ops.cast(ops.softmax(scores), x.dtype)
