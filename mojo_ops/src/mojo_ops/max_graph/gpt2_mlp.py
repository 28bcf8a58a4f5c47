"""gpt2_mlp in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(x: TensorValue, w1: TensorValue, b1: TensorValue, w2: TensorValue, b2: TensorValue) -> TensorValue:
    """[rows, in] by [in, inner] by [inner, out]; the products are in the dtype of x, bias and GELU in float32."""
    wide = ops.cast(x @ w1, DType.float32) + ops.cast(b1, DType.float32)
    hidden = ops.cast(ops.gelu(wide, approximate="tanh"), x.dtype)
    return ops.cast(ops.cast(hidden @ w2, DType.float32) + ops.cast(b2, DType.float32), x.dtype)
