"""Registration of the fake kernels: one function an overload, shared by every namespace that has the ops."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ._derivatives import argument_names, refuse_transforms, without_derivatives
from ._library import library, overload_of

Function = TypeVar("Function", bound=Callable[..., Any])

FAKES: dict[str, Callable[..., Any]] = {}


def add_fake(namespace: str, name: str) -> None:
    """Gives an overload of a namespace the fake kernel that was registered for it.

    All but those with a gradient formula also get the refusals of derivatives that no compiled entry sees.
    """
    overload, fake = overload_of(namespace, name), FAKES[name]
    if "." in name or overload._schema.is_mutable:
        fake = without_derivatives(overload, fake)
        refuse_transforms(library(namespace), overload)
    torch.library.register_fake(f"{namespace}::{name}", fake)
    library(namespace).impl(name, functools.partial(_without_kernel, overload), "CompositeExplicitAutograd")


def _without_kernel(overload: Any, *args: Any, **named: Any) -> Any:
    """Names what came, in place of the dispatcher's list of its keys."""
    namespace, op = overload._schema.name.split("::")
    tensors = [value for value in (*args, *named.values()) if isinstance(value, torch.Tensor)]
    if not tensors:  # the dispatcher has no key to go by
        raise RuntimeError(f"{op}: {argument_names(overload)[0]} is None, expected a tensor")
    kinds = sorted({f"{tensor.layout} tensors on {tensor.device}" for tensor in tensors})
    raise NotImplementedError(f"torch.ops.{namespace}.{op} has no kernel for {' and '.join(kinds)} in this build")


def register_fake(name: str) -> Callable[[Function], Function]:
    """Registers the decorated function as fake kernel of ``cpp_ext::<name>``, such as ``add`` or ``add.out``.

    That of ``add`` is also that of ``add.no_grad``.
    """

    def register(function: Function) -> Function:
        op = getattr(torch.ops.cpp_ext, name.split(".")[0])
        names = [name, f"{name}.no_grad"] if "." not in name and "no_grad" in op.overloads() else [name]
        for overload in names:
            FAKES[overload] = function
            add_fake("cpp_ext", overload)
        return function

    return register
