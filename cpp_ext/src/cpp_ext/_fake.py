"""Derives the fake kernels of all overloads from the library's own checks and shape rules, which need only metadata.

A fake kernel calls `_C.infer` with the values that symbolic sizes have while tracing. This adds no guard, because the
call is checked again whenever it runs. Only that check applies to sizes known at run time only (unbacked symbols).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._autograd_kernel import OVERLOAD as FORMULA
from ._derivatives import argument_names, base_name, refuse_transforms, without_derivatives
from ._library import library

Infer = Callable[..., tuple[tuple[int, str | None, tuple[Any, ...]], ...]]
"""``(op, inputs, scalars, outputs) -> outputs``, as csrc/bindings/infer.cpp describes it."""


def add_fakes(namespace: str, op: str, infer: Infer) -> None:
    """Registers the fake kernels of an op's overloads in a namespace, except for `autograd`, which has only a formula.

    Overloads without a gradient formula also get the checks for derivatives that compiled entry points cannot make.
    """
    packet = getattr(getattr(torch.ops, namespace), op)
    for overload in (getattr(packet, name) for name in packet.overloads() if name != FORMULA):
        fake = _derived(overload, infer)
        if overload._overloadname != "default" or overload._schema.is_mutable:
            fake = without_derivatives(overload, fake)
            refuse_transforms(library(namespace), overload)
        torch.library.register_fake(overload.name(), fake)
        kernel = functools.partial(_without_kernel, overload)
        library(namespace).impl(overload.name().split("::")[1], kernel, "CompositeExplicitAutograd")


def _without_kernel(overload: Any, *args: Any, **named: Any) -> Any:
    """Raises an error that names the arguments' layout and device, instead of the dispatcher's list of keys."""
    namespace, op = overload._schema.name.split("::")
    tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
    if not tensors:  # without a tensor, the dispatcher has no device key
        raise RuntimeError(f"{op}: {argument_names(overload)[0]} is None, expected a tensor")
    kinds = sorted({f"{tensor.layout} tensors on {tensor.device}" for tensor in tensors})
    raise NotImplementedError(f"torch.ops.{namespace}.{op} has no kernel for {' and '.join(kinds)} in this build")


def _derived(overload: Any, infer: Infer) -> Callable[..., Any]:
    """Makes the fake kernel of one overload."""
    op, arguments, mutable = base_name(overload), overload._schema.arguments, overload._schema.is_mutable
    tensors = {a.name for a in arguments if str(a.type) in ("Tensor", "Optional[Tensor]")}
    outputs = [a.name for a in arguments if a.kwarg_only]
    names = [a.name for a in arguments if not a.kwarg_only]
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}

    def fake(*args: Any, **named: Any) -> Any:
        values = {**defaults, **dict(zip(names, args, strict=False)), **named}
        inputs = [values[name] for name in names if name in tensors]
        scalars = tuple(values[name] for name in names if name not in tensors)
        # Only ops that write into their arguments check how these overlap in memory.
        storages: dict[int, int] | None = {} if mutable else None
        descriptions = tuple(_describe(tensor, storages) for tensor in inputs)
        ready = tuple(_describe(values[name], storages) for name in outputs) if outputs else None
        shapes = [None if tensor is None else tensor.shape for tensor in inputs]
        results = [
            inputs[like].new_empty(
                [_size(size, shapes) for size in sizes], dtype=dtype if dtype is None else getattr(torch, dtype)
            )
            for like, dtype, sizes in infer(op, descriptions, scalars, ready)
        ]
        return None if mutable else results[0] if len(results) == 1 else tuple(results)

    return fake


def _describe(tensor: Tensor | None, storages: dict[int, int] | None) -> tuple[Any, ...] | None:
    """Describes a tensor for `infer`. `storages` numbers the tensors' storages; None leaves memory out."""
    if tensor is None:
        return None
    strides: tuple[int | None, ...] = ()
    address = 0
    if storages is not None:
        strides, offset = tuple(map(_value, tensor.stride())), _value(tensor.storage_offset())
        number = storages.setdefault(tensor.untyped_storage()._cdata, len(storages) + 1)
        if offset is not None:  # each storage gets its own range of addresses; address 0 overlaps nothing
            address = (number << 48) + offset * tensor.element_size()
    sizes = tuple(map(_value, tensor.shape))
    device = tensor.device
    return str(tensor.dtype).removeprefix("torch."), device.type, device.index or 0, sizes, strides, address


def _value(size: int | torch.SymInt) -> int | None:
    """The number itself, or the value that a symbol has while tracing, or None if it has none."""
    hint = size.node.hint if isinstance(size, torch.SymInt) else size
    return hint if isinstance(hint, int) else None


def _size(description: Any, shapes: list[Any]) -> Any:
    """A size of an output: a number, or a quotient of an input's size."""
    if isinstance(description, int):
        return description
    index, dimension, divisor = description
    size = shapes[index][dimension]
    return size if divisor == 1 else size // divisor
