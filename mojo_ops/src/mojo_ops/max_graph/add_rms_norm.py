"""add_rms_norm in MAX's own operations."""

from __future__ import annotations

from max.graph import TensorValue, ops


def graph(x: TensorValue, residual: TensorValue, weight: TensorValue, eps: float) -> tuple[TensorValue, TensorValue]:
    """The RMS norm of x + residual, and x + residual itself, both [rows, columns]."""
    total = ops.add(x, residual)
    return ops.rms_norm(total, weight, eps, multiply_before_cast=True), total
