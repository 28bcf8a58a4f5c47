"""grayscale in MAX's own operations."""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorValue, ops


def graph(image: TensorValue) -> TensorValue:
    """Luminance of [height, width, 3], truncated to uint8."""
    wide = ops.cast(image, DType.float32)
    gray = wide[:, :, 0] * 0.21 + wide[:, :, 1] * 0.71 + wide[:, :, 2] * 0.07
    return ops.cast(gray, DType.uint8)
