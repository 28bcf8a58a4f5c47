"""rms_norm_backward in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(grad: TensorValue, x: TensorValue, weight: TensorValue, eps: float) -> tuple[TensorValue, TensorValue]:
    """The gradients of RMS norm of [rows, columns], in float32."""
    g, v, w = (ops.cast(t, DType.float32) for t in (grad, x, weight))
    scale = ops.rsqrt(ops.mean(v * v) + eps)
    h, q = v * scale, g * w
    grad_x = (q - h * ops.mean(q * h)) * scale
    return ops.cast(grad_x, x.dtype), ops.cast(ops.squeeze(ops.sum(g * h, 0), 0), x.dtype)
