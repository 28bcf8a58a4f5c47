"""grayscale: the luminance of an RGB image."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import direct
from ..kernel import Kernel
from ..register import define, launch

KERNEL = Kernel("grayscale", outputs=(("height", "width"),), inputs=(("height", "width", 3),), dtypes=("uint8",))


def check(image: Tensor) -> None:
    """Raises TypeError or ValueError unless image is uint8 [H, W, 3]."""
    checks.dtype("grayscale", "image", image, (torch.uint8,))
    checks.rank("grayscale", "image", image, 3, "H, W, 3")
    if image.shape[2] != 3:
        raise ValueError(f"grayscale: image has shape {list(image.shape)}, expected [H, W, 3]")


def empty(image: Tensor) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(image)
    return image.new_empty(image.shape[:2])


def _check_out(image: Tensor, *, out: Tensor) -> Tensor:
    check(image)
    checks.output("grayscale", "out", out, image.shape[:2], "the height and width of image", "image", image)
    return out


def _run(out: Tensor, image: Tensor) -> None:
    if out.numel():
        launch(KERNEL, (), (), (out, image))


_op = define(
    KERNEL,
    "(Tensor image) -> Tensor",
    "(Tensor image, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
)


@direct(_op)
def grayscale(image: Tensor) -> Tensor:
    """Computes trunc(0.21 R + 0.71 G + 0.07 B) in float32 for each pixel.

    Args:
        image: [H, W, 3], uint8, channels in the order R, G, B.

    Returns:
        A new contiguous tensor [H, W], uint8.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: the dtype is not uint8.
        ValueError: the shape is not [H, W, 3].
    """
    return _op(image)
