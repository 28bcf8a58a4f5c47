"""silu_mul in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(gate: TensorValue, up: TensorValue) -> TensorValue:
    """silu(gate) * up of [n], in float32."""
    wide, factor = (ops.cast(t, DType.float32) for t in (gate, up))
    return ops.cast(ops.silu(wide) * factor, gate.dtype)
