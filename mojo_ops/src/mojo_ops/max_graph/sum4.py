"""sum4 in MAX's own operations."""

from __future__ import annotations

from max.graph import TensorValue, ops


def graph(a: TensorValue, b: TensorValue, c: TensorValue, d: TensorValue) -> TensorValue:
    """a + b + c + d, each [n]."""
    return ops.add(ops.add(ops.add(a, b), c), d)
