"""rope in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(query: TensorValue, key: TensorValue, cos: TensorValue, sin: TensorValue) -> tuple[TensorValue, TensorValue]:
    """Rotates query and key [batch, sequence, heads, head] by the tables [sequence, head], in float32."""
    cos, sin = (ops.unsqueeze(ops.cast(table, DType.float32), 1) for table in (cos, sin))

    def rotate(x: TensorValue) -> TensorValue:
        wide = ops.cast(x, DType.float32)
        half = x.shape[3] // 2
        middle = TensorValue(half)
        low = wide[..., (slice(None, middle), half)]
        high = wide[..., (slice(middle, None), half)]
        # That two halves make a whole is beyond symbolic arithmetic; rebind checks it at run time.
        turned = ops.rebind(ops.concat([-high, low], axis=-1), wide.shape)
        return ops.cast(wide * cos + turned * sin, x.dtype)

    return rotate(query), rotate(key)
