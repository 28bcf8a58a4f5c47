"""Argument checks, the same words in every route: what came, what was expected, and why.

Comparisons run at every call and cost 0.1-0.3 us each; a message is only built when one fails.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def _names(dtypes: Sequence[torch.dtype]) -> str:
    names = [str(dtype).removeprefix("torch.") for dtype in dtypes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def present(op: str, name: str, tensor: Tensor | None) -> None:
    """Raises TypeError for None, which the dispatcher lets pass as an undefined tensor."""
    if tensor is None:
        raise TypeError(f"{op}: {name} is None, expected a Tensor")


def dtype(op: str, name: str, tensor: Tensor, allowed: Sequence[torch.dtype]) -> None:
    """Raises TypeError unless the dtype is one of `allowed`."""
    present(op, name, tensor)
    if tensor.dtype not in allowed:
        raise TypeError(f"{op}: {name} has dtype {_names([tensor.dtype])}, expected {_names(allowed)}")


def like(op: str, name: str, tensor: Tensor, reference: str, of: Tensor) -> None:
    """Raises ValueError or TypeError unless device and dtype are those of the argument `reference`."""
    present(op, name, tensor)
    if tensor.device != of.device:
        raise ValueError(f"{op}: {name} is on {tensor.device}, expected {of.device}, the device of {reference}")
    if tensor.dtype != of.dtype:
        raise TypeError(
            f"{op}: {name} has dtype {_names([tensor.dtype])}, expected {_names([of.dtype])}, the dtype of {reference}"
        )


def rank(op: str, name: str, tensor: Tensor, expected: int, meaning: str) -> None:
    """Raises ValueError unless the tensor has `expected` dimensions, explained as in «3 (H, W, 3)»."""
    if tensor.dim() != expected:
        raise ValueError(f"{op}: {name} has {tensor.dim()} dimensions, expected {expected} ({meaning})")


def shape(op: str, name: str, tensor: Tensor, expected: Sequence[int], meaning: str) -> None:
    """Raises ValueError unless the shape is `expected`, explained as in «the shape of a»."""
    if tensor.shape != expected:
        raise ValueError(f"{op}: {name} has shape {list(tensor.shape)}, expected {list(expected)}, {meaning}")


def output(
    op: str, name: str, tensor: Tensor, expected: Sequence[int], meaning: str, reference: str, of: Tensor
) -> None:
    """Raises ValueError or TypeError unless a kernel may write the result into the tensor as it is."""
    like(op, name, tensor, reference, of)
    shape(op, name, tensor, expected, meaning)
    if not tensor.is_contiguous():
        raise ValueError(f"{op}: {name} is not contiguous, expected a contiguous tensor")
