"""silu_mul_backward in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def gradients(grad: TensorValue, gate: TensorValue, up: TensorValue) -> tuple[TensorValue, TensorValue]:
    """The gradients of silu(gate) * up by gate and up, all in float32."""
    s = ops.sigmoid(gate)
    return grad * up * (s * (1 + gate * (1 - s))), grad * (gate * s)


def graph(grad: TensorValue, gate: TensorValue, up: TensorValue) -> tuple[TensorValue, TensorValue]:
    """The same of [n], in float32 between casts."""
    grad_gate, grad_up = gradients(*(ops.cast(t, DType.float32) for t in (grad, gate, up)))
    return ops.cast(grad_gate, grad.dtype), ops.cast(grad_up, grad.dtype)
