"""gelu_tanh in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(x: TensorValue) -> TensorValue:
    """GELU with tanh, [n], computed in float32."""
    return ops.cast(ops.gelu(ops.cast(x, DType.float32), approximate="tanh"), x.dtype)
