"""Argument checks of the fake kernels, in the words of csrc/common/checks.h.

Mixed devices need them: a call that holds one meta tensor is dispatched to the fake kernel, whatever the others are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def require(condition: bool, message: str) -> None:
    """Raises RuntimeError with the message, as the C++ checks do."""
    if not condition:
        raise RuntimeError(message)


def same_device(op: str, **tensors: Tensor) -> None:
    """All tensors are on the device of the first."""
    (first, like), *others = tensors.items()
    for name, tensor in others:
        require(
            tensor.device == like.device,
            f"{op}: {name} is on {tensor.device}, expected {like.device}, the device of {first}",
        )


def float_dtype(op: str, **tensors: Tensor) -> None:
    """The first tensor is float32, bfloat16 or float16, and the others have its dtype."""
    (first, like), *others = tensors.items()
    require(like.dtype in FLOATS, f"{op}: {first} has dtype {_name(like.dtype)}, expected float32, bfloat16 or float16")
    for name, tensor in others:
        require(
            tensor.dtype == like.dtype,
            f"{op}: {name} has dtype {_name(tensor.dtype)}, expected {_name(like.dtype)}, the dtype of {first}",
        )


def dtype(op: str, name: str, tensor: Tensor, expected: torch.dtype) -> None:
    """The tensor has the dtype."""
    require(tensor.dtype == expected, f"{op}: {name} has dtype {_name(tensor.dtype)}, expected {_name(expected)}")


def shape(op: str, name: str, tensor: Tensor, expected: Sequence[int], why: str) -> None:
    """The tensor has the shape; `why` says where it comes from."""
    require(
        tuple(tensor.shape) == tuple(expected),
        f"{op}: {name} has shape {list(tensor.shape)}, expected {list(expected)}, {why}",
    )


def out(op: str, name: str, tensor: Tensor, like: Tensor, like_name: str, expected: Sequence[int], why: str) -> None:
    """An output handed in by the caller fits the input that it follows."""
    same_device(op, **{like_name: like, name: tensor})
    require(
        tensor.dtype == like.dtype,
        f"{op}: {name} has dtype {_name(tensor.dtype)}, expected {_name(like.dtype)}, the dtype of {like_name}",
    )
    shape(op, name, tensor, expected, why)
    require(tensor.is_contiguous(), f"{op}: {name} is not contiguous, expected a contiguous tensor")
