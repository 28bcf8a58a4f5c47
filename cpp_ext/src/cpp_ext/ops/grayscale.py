"""grayscale: the luminance of an 8-bit RGB image."""

import torch
from torch import Tensor

from .. import checks
from .._direct import direct
from .._fake import register_fake

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
        RuntimeError: image has another dtype or shape than expected.
    """
    return _grayscale(image)


def _check(image: Tensor) -> None:
    checks.dtype("grayscale", "image", image, torch.uint8)
    checks.require(image.dim() == 3, f"grayscale: image has {image.dim()} dimensions, expected 3 (H, W, 3)")
    checks.require(image.shape[2] == 3, f"grayscale: image has shape {list(image.shape)}, expected [H, W, 3]")


@register_fake("grayscale")
def _(image: Tensor) -> Tensor:
    _check(image)
    return image.new_empty(image.shape[:2])


@register_fake("grayscale.out")
def _(image: Tensor, *, out: Tensor) -> None:
    _check(image)
    checks.out("grayscale", "out", out, image, "image", image.shape[:2], "height and width of image")
