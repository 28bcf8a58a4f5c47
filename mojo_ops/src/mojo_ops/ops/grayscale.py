"""grayscale: the luminance of an RGB image."""

from __future__ import annotations

from torch import Tensor

from .._direct import direct
from ..kernel import Kernel
from ..register import define, launch

KERNEL = Kernel("grayscale", outputs=(("height", "width"),), inputs=(("height", "width", 3),), dtypes=("uint8",))


def _run(out: Tensor, image: Tensor) -> None:
    if out.numel():
        launch(KERNEL, (), (), (out, image))


_op = define(KERNEL, "(Tensor image) -> Tensor", _run)


@direct(_op)
def grayscale(image: Tensor) -> Tensor:
    """Computes trunc(0.21 R + 0.71 G + 0.07 B) in float32 for each pixel.

    Args:
        image: [H, W, 3], uint8, channels in the order R, G, B.

    Returns:
        A new contiguous tensor [H, W], uint8.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: the dtype is not uint8.
        ValueError: the shape is not [H, W, 3].
    """
    return _op(image)
