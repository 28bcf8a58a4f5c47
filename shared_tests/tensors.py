"""Test tensors: seeded values and the layouts that break kernels."""

from __future__ import annotations

import math
import zlib

import torch


def randn(shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu", *, seed: str = "") -> torch.Tensor:
    """Normal values of `shape`, the same on every machine for the same shape, dtype and `seed`."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{shape}{dtype}{seed}".encode()))
    return torch.randn(shape, generator=generator).to(dtype).to(device)


def big_randn(shape: tuple[int, ...], dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    """Normal values for benchmark sizes: one seeded block of 2^16+1 values repeated, so that building takes no time.

    The odd period keeps rows different from each other.
    """
    elements = math.prod(shape)
    block = randn((min(elements, (1 << 16) + 1),), dtype, device)
    repeats = -(-elements // block.numel())
    return block.repeat(repeats)[:elements].view(shape)


# Elements from which every route splits its work over threads (the highest of their thresholds is 2^22), made odd.
PARALLEL = (1 << 22) + 3


def special_values(dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    """NaN, infinities, signed zeros, subnormals and the largest finite values of `dtype`, 37 elements."""
    info = torch.finfo(dtype)
    values = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, info.max, info.min, info.tiny, -info.tiny]
    values += [info.smallest_normal / 4, 1.0, -1.0, 88.0, -88.0, 104.0, -104.0, 1e4, -1e4, 20.0, -20.0]
    values += [k / 3 for k in range(-8, 9)]
    return torch.tensor(values, dtype=torch.float64).to(dtype).to(device)


def transposed(x: torch.Tensor) -> torch.Tensor:
    """`x` with the same values and shape over storage whose last two dimensions are swapped."""
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def offset(x: torch.Tensor) -> torch.Tensor:
    """`x` as a contiguous view that begins one element into its storage, so 16-byte alignment is lost."""
    storage = torch.empty(x.numel() + 1, dtype=x.dtype, device=x.device)
    view = storage[1:].view(x.shape)
    view.copy_(x)
    return view


def strided(x: torch.Tensor) -> torch.Tensor:
    """`x` as every second element of a twice as long last dimension."""
    storage = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype, device=x.device)
    view = storage[..., ::2]
    view.copy_(x)
    return view


LARGE_ROWS, LARGE_COLUMNS = (1 << 19) + 2, 4096


def large_matrix(device: str) -> torch.Tensor:
    """bfloat16 [2^19 + 2, 4096], 2^31 + 8192 elements: zeros but for its last four rows."""
    x = torch.zeros((LARGE_ROWS, LARGE_COLUMNS), dtype=torch.bfloat16, device=device)
    x[-4:] = randn((4, LARGE_COLUMNS), torch.bfloat16, device)
    return x
