"""Registration of the fake kernels: one function an overload, shared by every namespace that has the ops."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ._derivatives import refuse_transforms, without_derivatives
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


def register_fake(name: str) -> Callable[[Function], Function]:
    """Registers the decorated function as fake kernel of ``cpp_ext::<name>``, such as ``add`` or ``add.out``."""

    def register(function: Function) -> Function:
        FAKES[name] = function
        add_fake("cpp_ext", name)
        return function

    return register
