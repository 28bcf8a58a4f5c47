"""Where Python adds kernels to the registered ops."""

import functools

import torch


@functools.cache
def library(namespace: str) -> torch.library.Library:
    """The library of a namespace; it lives, and with it what was added, until the process ends."""
    return torch.library.Library(namespace, "FRAGMENT")
