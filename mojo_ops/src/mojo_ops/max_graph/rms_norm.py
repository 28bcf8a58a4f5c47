"""rms_norm in MAX's own operations."""

from __future__ import annotations

from max.graph import TensorValue, ops


def graph(x: TensorValue, weight: TensorValue, eps: float) -> TensorValue:
    """RMS norm of [rows, columns]; the weight is applied before the result is rounded."""
    return ops.rms_norm(x, weight, eps, multiply_before_cast=True)
