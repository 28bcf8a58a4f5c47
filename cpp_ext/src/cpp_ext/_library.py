"""Where Python adds kernels to the registered ops."""

import functools
from typing import Any

import torch


@functools.cache
def library(namespace: str) -> torch.library.Library:
    """The library of a namespace; it lives, and with it what was added, until the process ends."""
    return torch.library.Library(namespace, "FRAGMENT")


def overload_of(namespace: str, name: str) -> Any:
    """The overload object of ``add`` or ``add.out``."""
    op, _, overload = name.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), op), overload or "default")
