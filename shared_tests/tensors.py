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
    """Normal values for benchmark sizes: a seeded block of 2^16+1 values, repeated so that building is fast.

    Because the period is odd, rows differ from each other.
    """
    elements = math.prod(shape)
    block = randn((min(elements, (1 << 16) + 1),), dtype, device)
    repeats = -(-elements // block.numel())
    return block.repeat(repeats)[:elements].view(shape)


# An odd number of elements that every route splits over threads; the highest of their thresholds is 2^22.
PARALLEL = (1 << 22) + 3


def special_values(dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    """NaN, infinities, signed zeros, subnormals and the largest finite values of `dtype`, 37 elements."""
    info = torch.finfo(dtype)
    values = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, info.max, info.min, info.tiny, -info.tiny]
    values += [info.smallest_normal / 4, 1.0, -1.0, 88.0, -88.0, 104.0, -104.0, 1e4, -1e4, 20.0, -20.0]
    values += [k / 3 for k in range(-8, 9)]
    return torch.tensor(values, dtype=torch.float64).to(dtype).to(device)


def transposed(x: torch.Tensor) -> torch.Tensor:
    """A copy of `x` whose last two dimensions are swapped in memory."""
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def offset(x: torch.Tensor) -> torch.Tensor:
    """A copy of `x` as a contiguous view that starts at element 1 of its storage, so it is not 16-byte aligned."""
    storage = torch.empty(x.numel() + 1, dtype=x.dtype, device=x.device)
    view = storage[1:].view(x.shape)
    view.copy_(x)
    return view


def strided(x: torch.Tensor) -> torch.Tensor:
    """A copy of `x` as every second element of a last dimension that is twice as long."""
    storage = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype, device=x.device)
    view = storage[..., ::2]
    view.copy_(x)
    return view


LARGE_ROWS, LARGE_COLUMNS = (1 << 19) + 2, 4096


def large_matrix(device: str) -> torch.Tensor:
    """A bfloat16 matrix [2^19 + 2, 4096] of 2^31 + 8192 elements, which is zero except for its last four rows."""
    x = torch.zeros((LARGE_ROWS, LARGE_COLUMNS), dtype=torch.bfloat16, device=device)
    x[-4:] = randn((4, LARGE_COLUMNS), torch.bfloat16, device)
    return x
