"""softmax_backward in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(grad: TensorValue, output: TensorValue, scale: float) -> TensorValue:
    """The gradient of softmax of [rows, columns], in float32."""
    g, y = ops.cast(grad, DType.float32), ops.cast(output, DType.float32)
    return ops.cast((g - ops.sum(g * y)) * (y * scale), grad.dtype)
