"""Argument checks, the same words in every route: what came, what was expected, and why.

Comparisons run at every call and cost 0.1-0.3 us each; a message is only built when one fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def device(op: str, name: str, tensor: Tensor, reference: str, of: Tensor) -> None:
    """Raises ValueError unless the device is that of the argument `reference`."""
    present(op, name, tensor)
    if tensor.device != of.device:
        raise ValueError(f"{op}: {name} is on {tensor.device}, expected {of.device}, the device of {reference}")


def like(op: str, name: str, tensor: Tensor, reference: str, of: Tensor) -> None:
    """Raises ValueError or TypeError unless device and dtype are those of the argument `reference`."""
    device(op, name, tensor, reference, of)
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


def contiguous(op: str, name: str, tensor: Tensor) -> None:
    """Raises ValueError unless a kernel may write into the tensor as it is."""
    if not tensor.is_contiguous():
        raise ValueError(f"{op}: {name} is not contiguous, expected a contiguous tensor")


def output(
    op: str,
    name: str,
    tensor: Tensor,
    expected: Sequence[int],
    meaning: str,
    reference: str,
    of: Tensor,
    own: torch.dtype | None = None,
) -> None:
    """Raises ValueError or TypeError unless a kernel may write the result into the tensor as it is.

    Its device is that of the argument `reference`; so is its dtype, unless it has one of its `own`.
    """
    if own is None:
        like(op, name, tensor, reference, of)
    else:
        device(op, name, tensor, reference, of)
        dtype(op, name, tensor, (own,))
    shape(op, name, tensor, expected, meaning)
    contiguous(op, name, tensor)


def apart(op: str, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a tensor to be written shares memory with another, whose values would change under way.

    Tensors that are not contiguous are copied first and cannot be hit.
    """
    target = tensors[name]
    first, last = _range(target)
    for other, tensor in tensors.items():
        low, high = _range(tensor)
        if other != name and tensor.is_contiguous() and first < high and low < last:
            raise ValueError(f"{op}: {name} overlaps {other} in memory, expected memory of its own")


def written_in_place(op: str, written: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError unless the arguments `written` are contiguous and `apart` from all others."""
    for name in written:
        contiguous(op, name, tensors[name])
    for name in written:
        apart(op, name, tensors)


def _range(tensor: Tensor) -> tuple[int, int]:
    start = tensor.data_ptr()
    return start, start + tensor.numel() * tensor.element_size()


def last_dimension(op: str, name: str, tensor: Tensor, reference: str, of: Tensor) -> None:
    """Raises ValueError unless the tensor is as one row of another, as the weight of a norm is."""
    if of.dim() == 0:
        raise ValueError(f"{op}: {reference} has 0 dimensions, expected at least 1")
    shape(op, name, tensor, of.shape[-1:], f"the last dimension of {reference}")


def norm_gradient(op: str, grad: Tensor, x: Tensor, weight: Tensor) -> None:
    """Raises TypeError or ValueError unless these are what the gradient of a norm is computed from."""
    dtype(op, "grad", grad, FLOATS)
    like(op, "x", x, "grad", grad)
    like(op, "weight", weight, "grad", grad)
    last_dimension(op, "weight", weight, "x", x)
    shape(op, "grad", grad, x.shape, "the shape of x")


def even_last_dimension(op: str, name: str, tensor: Tensor) -> None:
    """Raises ValueError unless the tensor holds two halves side by side."""
    if tensor.dim() == 0:
        raise ValueError(f"{op}: {name} has 0 dimensions, expected at least 1")
    if tensor.shape[-1] % 2:
        raise ValueError(f"{op}: {name} has a last dimension of {tensor.shape[-1]}, expected an even number")


def add_rms(op: str, x: Tensor, residual: Tensor, weight: Tensor) -> None:
    """Raises TypeError or ValueError unless these are the arguments of a normalised sum."""
    dtype(op, "x", x, FLOATS)
    like(op, "residual", residual, "x", x)
    like(op, "weight", weight, "x", x)
    last_dimension(op, "weight", weight, "x", x)
    shape(op, "residual", residual, x.shape, "the shape of x")
