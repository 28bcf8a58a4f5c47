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


def same_device(op: str, **tensors: Tensor | None) -> None:
    """All tensors that are given are on the device of the first."""
    (first, like), *others = ((name, tensor) for name, tensor in tensors.items() if tensor is not None)
    for name, tensor in others:
        require(
            tensor.device == like.device,
            f"{op}: {name} is on {tensor.device}, expected {like.device}, the device of {first}",
        )


def float_dtype(op: str, **tensors: Tensor | None) -> None:
    """The first tensor is float32, bfloat16 or float16, and the others that are given have its dtype."""
    (first, like), *others = ((name, tensor) for name, tensor in tensors.items() if tensor is not None)
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


def last_dimension(op: str, x: Tensor, **tensors: Tensor | None) -> None:
    """The tensors that are given are as long as the last dimension of x."""
    require(x.dim() >= 1, f"{op}: x has {x.dim()} dimensions, expected at least 1")
    for name, tensor in tensors.items():
        if tensor is not None:
            shape(op, name, tensor, x.shape[-1:], "the last dimension of x")


def norm_gradient(op: str, grad: Tensor, x: Tensor, weight: Tensor) -> None:
    """The tensors fit each other as what the gradient of a norm is computed from."""
    float_dtype(op, grad=grad, x=x, weight=weight)
    last_dimension(op, x, weight=weight)
    shape(op, "grad", grad, x.shape, "the shape of x")


def out(
    op: str,
    name: str,
    tensor: Tensor,
    like: Tensor,
    like_name: str,
    expected: Sequence[int],
    why: str,
    own_dtype: torch.dtype | None = None,
) -> None:
    """An output handed in by the caller fits the input that it follows, but for a dtype of its own."""
    same_device(op, **{like_name: like, name: tensor})
    if own_dtype is not None:
        dtype(op, name, tensor, own_dtype)
    else:
        require(
            tensor.dtype == like.dtype,
            f"{op}: {name} has dtype {_name(tensor.dtype)}, expected {_name(like.dtype)}, the dtype of {like_name}",
        )
    shape(op, name, tensor, expected, why)
    require(tensor.is_contiguous(), f"{op}: {name} is not contiguous, expected a contiguous tensor")


def contiguous(op: str, name: str, tensor: Tensor) -> None:
    """The tensor may be written as it is."""
    require(tensor.is_contiguous(), f"{op}: {name} is not contiguous, expected a contiguous tensor")


def even_last_dimension(op: str, name: str, tensor: Tensor) -> None:
    """The tensor holds two halves side by side."""
    require(tensor.dim() >= 1, f"{op}: {name} has {tensor.dim()} dimensions, expected at least 1")
    size = tensor.shape[-1]
    require(size % 2 == 0, f"{op}: {name} has a last dimension of {size}, expected an even number")


def add_rms(op: str, x: Tensor, residual: Tensor, weight: Tensor) -> None:
    """The arguments of a normalised sum."""
    same_device(op, x=x, residual=residual, weight=weight)
    float_dtype(op, x=x, residual=residual, weight=weight)
    last_dimension(op, x, weight=weight)
    shape(op, "residual", residual, x.shape, "the shape of x")
