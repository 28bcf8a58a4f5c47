"""layer_norm_backward in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(
    grad: TensorValue, x: TensorValue, weight: TensorValue, eps: float
) -> tuple[TensorValue, TensorValue, TensorValue]:
    """The gradients of layer norm of [rows, columns], in float32."""
    g, v, w = (ops.cast(t, DType.float32) for t in (grad, x, weight))
    centred = v - ops.mean(v)
    scale = ops.rsqrt(ops.mean(centred * centred) + eps)
    h, q = centred * scale, g * w
    grad_x = (q - ops.mean(q) - h * ops.mean(q * h)) * scale
    results = grad_x, ops.squeeze(ops.sum(g * h, 0), 0), ops.squeeze(ops.sum(g, 0), 0)
    return tuple(ops.cast(t, x.dtype) for t in results)
