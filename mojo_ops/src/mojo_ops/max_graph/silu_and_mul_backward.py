"""silu_and_mul_backward in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops

from .silu_and_mul import halves
from .silu_mul_backward import gradients


def graph(grad: TensorValue, x: TensorValue) -> TensorValue:
    """The gradient of silu(a) * b by the halves a and b of [rows, columns], in float32."""
    gate, up = (ops.rebind(half, grad.shape) for half in halves(x))
    wide = ops.cast(grad, DType.float32)
    gradient = ops.concat(gradients(wide, gate, up), axis=-1)
    # Symbolic arithmetic cannot show that two halves add up to the size; rebind checks it at run time.
    return ops.rebind(ops.cast(gradient, x.dtype), x.shape)
