"""silu_and_mul in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def halves(x: TensorValue) -> tuple[TensorValue, TensorValue]:
    """Both halves of the columns of [rows, columns], in float32."""
    wide = ops.cast(x, DType.float32)
    half = x.shape[1] // 2
    middle = TensorValue(half)
    return wide[:, (slice(None, middle), half)], wide[:, (slice(middle, None), half)]


def graph(x: TensorValue) -> TensorValue:
    """silu(a) * b of the halves a and b of [rows, columns], in float32."""
    gate, up = halves(x)
    gated = ops.cast(ops.silu(gate) * up, x.dtype)
    return ops.rebind(gated, [x.shape[0], "half"])
