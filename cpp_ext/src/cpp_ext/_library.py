"""The libraries through which Python adds kernels to the registered ops."""

import functools

import torch


@functools.cache
def library(namespace: str) -> torch.library.Library:
    """The library of a namespace. It and its kernels live until the process ends."""
    return torch.library.Library(namespace, "FRAGMENT")
