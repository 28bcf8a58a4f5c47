"""linear_w8 in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(x: TensorValue, weight: TensorValue, scales: TensorValue, bias: TensorValue | None) -> TensorValue:
    """[rows, in] by [out, in], in float32; the weight is converted within the graph."""
    wide = ops.cast(x, DType.float32) @ ops.transpose(ops.cast(weight, DType.float32), 0, 1)
    y = wide * ops.cast(scales, DType.float32)
    if bias is not None:
        y = y + ops.cast(bias, DType.float32)
    return ops.cast(y, x.dtype)
