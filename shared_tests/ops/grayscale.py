"""grayscale: the talk's CustomOpLibrary op, which converts an RGB image of bytes to luminance bytes."""

from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample


def image(height: int, width: int, device: str) -> torch.Tensor:
    """An image [height, width, 3] whose bytes take all values in each channel."""
    n = torch.arange(height * width * 3, dtype=torch.int64, device=device)
    return ((n * 2654435761) >> 7 & 255).to(torch.uint8).view(height, width, 3)


def reference(image: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the channels, truncated to uint8 (weights as in the talk: 0.21, 0.71, 0.07)."""
    weights = torch.tensor([0.21, 0.71, 0.07], device=image.device, dtype=torch.float32)
    return (image * weights).sum(-1).to(torch.uint8)


def formula(image: torch.Tensor) -> Bounded:
    red, green, blue = (Bounded(image[..., i].double(), None, torch.float32) for i in range(3))
    return (red * 0.21 + green * 0.71 + blue * 0.07).truncated()


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for height, width in ((1, 1), (0, 5), (5, 0), (1, 7), (83, 1), (7, 83), (3, 769), (2, 5125), (2049, 2053)):
        yield Sample(f"{height}x{width}", (image(height, width, device),))
    yield Sample("planar (CHW storage)", (image(9, 34, device).permute(2, 0, 1).contiguous().permute(1, 2, 0),))
    yield Sample("cropped", (image(20, 40, device)[3:11, 5:30],))
    yield Sample("every second column", (image(9, 34, device)[:, ::2],))
    yield Sample("expanded", (image(1, 35, device).expand(9, 35, 3),))
    corners = torch.cartesian_prod(*[torch.tensor([0, 1, 2, 127, 128, 254, 255], dtype=torch.uint8)] * 3)
    yield Sample("extreme values", (corners.view(7, 49, 3).to(device),))


def error_samples(device: str) -> Iterator[ErrorSample]:
    pixels = image(4, 4, device)
    yield ErrorSample("wrong dtype", (pixels.float(),), ("image", "float32", "expected uint8"))
    yield ErrorSample("wrong rank", (pixels[0],), ("image", "2 dimensions", "expected 3 (H, W, 3)"))
    yield ErrorSample("batched", (pixels[None],), ("image", "4 dimensions", "expected 3 (H, W, 3)"))
    yield ErrorSample("four channels", (torch.ones(4, 4, 4, dtype=torch.uint8, device=device),),
                      ("image", "[4, 4, 4]", "expected [H, W, 3]"))  # fmt: skip
    yield ErrorSample("non-tensor", ([[1, 2, 3]],), ("image", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    return (draw.integers((draw.size(0, 12), draw.size(), 3), 0, 256, torch.uint8),)


def large(device: str) -> tuple[tuple, tuple]:
    """An image of over 2^31 bytes, which is zero except for the last four rows."""
    pixels = torch.zeros((349_527, 2048, 3), dtype=torch.uint8, device=device)
    pixels[-4:] = image(4, 2048, device)
    return (pixels,), (pixels[-4:],)


def bench(height: int, width: int, name: str, **options: bool) -> BenchSample:
    return BenchSample(name, lambda dtype, device: (image(height, width, device),), height * width, **options)


SPEC = OpSpec(
    name="grayscale",
    schema="(Tensor image) -> Tensor",
    out_schema="(Tensor image, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    samples=samples,
    jit_samples=("7x83",),
    sized=lambda n, dtype, device: (image(2 * n, 9 * n, device),),
    rows=lambda length, dtype, device: [(image(3, length, device),)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(224, 224, "ImageNet crop, 224x224"),
        bench(1080, 1920, "Full HD, 1080x1920", quick=True),
        bench(2160, 3840, "4K, 2160x3840"),
    ),
    error_samples=error_samples,
    cost=lambda image: Cost(bytes=image.numel() // 3 * 4, flops=image.numel() // 3 * 5),
    dtypes=(torch.uint8,),
)
