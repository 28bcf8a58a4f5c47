"""Registration of the fake kernels: one function an overload, shared by every namespace that has the ops."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])

FAKES: dict[str, Callable[..., Any]] = {}


def register_fake(overload: str) -> Callable[[Function], Function]:
    """Registers the decorated function as fake kernel of ``cpp_ext::<overload>``, such as ``add`` or ``add.out``."""

    def register(function: Function) -> Function:
        FAKES[overload] = function
        torch.library.register_fake(f"cpp_ext::{overload}", function)
        return function

    return register
