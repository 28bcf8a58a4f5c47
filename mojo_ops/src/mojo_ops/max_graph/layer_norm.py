"""layer_norm in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(x: TensorValue, weight: TensorValue, bias: TensorValue | None, eps: float) -> TensorValue:
    """Layer norm of [rows, columns] in float32. MAX's layer norm always has a bias."""
    w = ops.cast(weight, DType.float32)
    b = w * 0 if bias is None else ops.cast(bias, DType.float32)
    return ops.cast(ops.layer_norm(ops.cast(x, DType.float32), w, b, eps), x.dtype)
