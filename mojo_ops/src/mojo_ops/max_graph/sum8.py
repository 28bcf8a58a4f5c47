"""sum8 in MAX's own operations."""

from __future__ import annotations

from max.graph import TensorValue, ops


def graph(
    a: TensorValue,
    b: TensorValue,
    c: TensorValue,
    d: TensorValue,
    e: TensorValue,
    f: TensorValue,
    g: TensorValue,
    h: TensorValue,
) -> TensorValue:
    """a + b + c + d + e + f + g + h, each [n]."""
    total = a
    for addend in (b, c, d, e, f, g, h):
        total = ops.add(total, addend)
    return total
