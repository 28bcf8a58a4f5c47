"""The calls that are emulated: the spec's small samples, and rows of whole vectors at lengths where kernels change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from shared_tests.spec import OpSpec

# Kernels change at 1,024, 4,096 and 8,192 elements: what a warp holds, then a block of 256 threads, then of 1,024.
# The lengths are multiples of 16 bytes in every dtype. 13,824 is a feed-forward size, beyond what registers hold.
ROWS = (64, 1032, 4104, 8200, 13824)
ALSO_ROWS = (1024, 4096, 8192, 16392)  # with `all_samples`: the last length before each change
ELEMENTS, ELEMENTS_OF_ALL = 150_000, 1 << 20  # of a call's tensors; larger ones take minutes and reach no other code
ROWS_PREFIX = "rows of"  # of the ids of these calls


@dataclass(frozen=True)
class Case:
    """One call. `args` are in schema order; tensors are contiguous, as a route hands them to a kernel."""

    id: str
    args: tuple[Any, ...]


def cases(spec: OpSpec, dtype: torch.dtype, route: str, all_samples: bool = False) -> Iterator[Case]:
    """The calls of an op in one dtype that are emulated.

    Args:
        route: `cpp` or `mojo`, whose known gaps are left out.
        all_samples: larger samples and more lengths too.
    """
    limit = ELEMENTS_OF_ALL if all_samples else ELEMENTS
    for sample in spec.samples(dtype, "cpu"):
        if elements(sample.args) <= limit and not spec.why_skipped(route, dtype, sample.id):
            yield Case(sample.id, contiguous(sample.args))
    yield from row_cases(spec, dtype, sorted({*ROWS, *(ALSO_ROWS if all_samples else ())}))


def row_cases(spec: OpSpec, dtype: torch.dtype, lengths: Iterable[int]) -> Iterator[Case]:
    """The op's rows of whole vectors of each length."""
    for length in lengths:
        for args in spec.rows(length, dtype, "cpu"):
            yield Case(f"{ROWS_PREFIX} {length}: {shapes(args)}", contiguous(args))


def elements(args: tuple[Any, ...]) -> int:
    """Elements of all tensors together."""
    return sum(a.numel() for a in args if isinstance(a, torch.Tensor))


def contiguous(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with a copy of every tensor that is not contiguous; the others keep their address."""
    return tuple(a.contiguous() if isinstance(a, torch.Tensor) else a for a in args)


def shapes(args: tuple[Any, ...]) -> str:
    """The shapes of a call's tensors, and its other arguments."""
    return ", ".join("x".join(map(str, a.shape)) if isinstance(a, torch.Tensor) else str(a) for a in args)
