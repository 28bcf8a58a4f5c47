"""grayscale: the luminance of an 8-bit RGB image."""

import torch
from torch import Tensor

from .._direct import direct

_grayscale = torch.ops.cpp_ext.grayscale.default


@direct(_grayscale)
def grayscale(image: Tensor) -> Tensor:
    """trunc(0.21 R + 0.71 G + 0.07 B) of every pixel, computed in float32.

    The weights are those of the talk's example (a rounding of ITU-R BT.709 luma), kept so that results compare.

    Args:
        image: shape [H, W, 3], uint8.

    Returns:
        A contiguous uint8 tensor of shape [H, W].

    Raises:
        RuntimeError: image has an unexpected dtype or shape.
    """
    return _grayscale(image)
