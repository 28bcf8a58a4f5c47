"""Fake kernels of all overloads, derived: the library's own checks and output shapes, on metadata alone.

A fake kernel asks `_C.infer` with the sizes that symbols stand for while they are traced, which adds no guard: the call
is checked again whenever it runs. A size that is known only at run time (an unbacked symbol) leaves all checks to that.
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
    """Gives every overload of an op of a namespace its fake kernel, but `autograd`, which has a formula and no kernel.

    All but those with a gradient formula also get the refusals of derivatives that no compiled entry sees.
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
    """Names the arguments' layout and device, instead of the dispatcher's list of its keys."""
    namespace, op = overload._schema.name.split("::")
    tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
    if not tensors:  # the dispatcher has no key to go by
        raise RuntimeError(f"{op}: {argument_names(overload)[0]} is None, expected a tensor")
    kinds = sorted({f"{tensor.layout} tensors on {tensor.device}" for tensor in tensors})
    raise NotImplementedError(f"torch.ops.{namespace}.{op} has no kernel for {' and '.join(kinds)} in this build")


def _derived(overload: Any, infer: Infer) -> Callable[..., Any]:
    """The fake kernel of one overload."""
    op, arguments, mutable = base_name(overload), overload._schema.arguments, overload._schema.is_mutable
    tensors = {a.name for a in arguments if str(a.type) in ("Tensor", "Optional[Tensor]")}
    outputs = [a.name for a in arguments if a.kwarg_only]
    names = [a.name for a in arguments if not a.kwarg_only]
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}

    def fake(*args: Any, **named: Any) -> Any:
        values = {**defaults, **dict(zip(names, args, strict=False)), **named}
        inputs = [values[name] for name in names if name in tensors]
        scalars = tuple(values[name] for name in names if name not in tensors)
        # Only an op that writes into its arguments asks how they lie in memory.
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
    """What `infer` takes of a tensor; `storages` numbers the memory that tensors share, None leaves it out."""
    if tensor is None:
        return None
    strides: tuple[int | None, ...] = ()
    address = 0
    if storages is not None:
        strides, offset = tuple(map(_value, tensor.stride())), _value(tensor.storage_offset())
        number = storages.setdefault(tensor.untyped_storage()._cdata, len(storages) + 1)
        if offset is not None:  # each storage has a range of addresses of its own; 0 overlaps nothing
            address = (number << 48) + offset * tensor.element_size()
    sizes = tuple(map(_value, tensor.shape))
    device = tensor.device
    return str(tensor.dtype).removeprefix("torch."), device.type, device.index or 0, sizes, strides, address


def _value(size: int | torch.SymInt) -> int | None:
    """The number, or that which a symbol stands for while it is traced; None if there is none."""
    hint = size.node.hint if isinstance(size, torch.SymInt) else size
    return hint if isinstance(hint, int) else None


def _size(description: Any, shapes: list[Any]) -> Any:
    """A size of an output, from a number or the size of an input that it is derived from."""
    if isinstance(description, int):
        return description
    index, dimension, divisor = description
    size = shapes[index][dimension]
    return size if divisor == 1 else size // divisor
