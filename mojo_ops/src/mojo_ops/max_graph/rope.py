"""rope in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(
    query: TensorValue,
    key: TensorValue,
    cos: TensorValue,
    sin: TensorValue,
    positions: TensorValue | None,
    interleaved: bool,
) -> tuple[TensorValue, TensorValue]:
    """Rotates query and key [batch, sequence, heads, head] in float32.

    The tables are [sequence, head], or [rows, head] with rows gathered by positions [batch, sequence].
    """

    def angles(table: TensorValue) -> TensorValue:
        wide = ops.cast(table, DType.float32)
        if positions is not None:
            return ops.unsqueeze(ops.gather(wide, positions, axis=0), 2)
        return ops.unsqueeze(ops.rebind(wide, (query.shape[1], query.shape[3])), 1)

    cos, sin = angles(cos), angles(sin)

    def rotate(x: TensorValue) -> TensorValue:
        wide = ops.cast(x, DType.float32)
        half = x.shape[3] // 2
        if interleaved:
            even = wide[..., (slice(None, None, 2), half)]
            odd = wide[..., (slice(1, None, 2), half)]
            pairs = ops.stack([-odd, even], axis=-1)
            rotated = ops.rebind(ops.reshape(pairs, (*x.shape[:3], half * 2)), wide.shape)
        else:
            middle = TensorValue(half)
            low = wide[..., (slice(None, middle), half)]
            high = wide[..., (slice(middle, None), half)]
            # Symbolic arithmetic cannot show that two halves add up to the size; rebind checks it at run time.
            rotated = ops.rebind(ops.concat([-high, low], axis=-1), wide.shape)
        return ops.cast(wide * cos + rotated * sin, x.dtype)

    return rotate(query), rotate(key)
