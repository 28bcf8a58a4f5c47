"""Puts the C entry points of a Mojo library behind PyTorch's dispatcher, on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch

from . import artifacts
from ._derivatives import accessors, ensure_refusals

# What torch_library_impl converts the arguments for: the layout of torch 2.11, the oldest supported.
_ABI_VERSION = (2 << 56) | (11 << 48)

_torch = ctypes.CDLL("libtorch_cpu.so")  # loaded by `import torch`; named only
_libraries: dict[str, torch.library.Library] = {}
_registered: dict[tuple[str, str], tuple[ctypes.CDLL, ctypes.c_void_p]] = {}


def _call(function: Any, *arguments: object) -> None:
    if function(*arguments):
        raise ImportError(f"{function.__name__} of libtorch_cpu failed; torch {torch.__version__}")


def address(function: str) -> int | None:
    """The address of a C function of PyTorch."""
    return ctypes.cast(getattr(_torch, function), ctypes.c_void_p).value


def register(namespace: str, op: str, library: ctypes.CDLL) -> None:
    """Makes `<namespace>_<op>` and `<namespace>_<op>_out` of the library the CPU kernels of an op and its out variant.

    They take the place of those registered before. The overload `no_grad` has the kernel of the functional form.

    Raises:
        ImportError: PyTorch refused, or the library has no such entry point.
    """
    if (namespace, op) in _registered:
        _call(_torch.aoti_torch_delete_library_object, _registered.pop((namespace, op))[1])
    handle = ctypes.c_void_p()
    file, line = b"mojo_ops/native.py", ctypes.c_uint32(0)
    _call(_torch.aoti_torch_library_init_impl, namespace.encode(), b"CPU", file, line, ctypes.byref(handle))
    for overload in getattr(getattr(torch.ops, namespace), op).overloads():
        symbol = f"{namespace}_{op}_out" if overload == "out" else f"{namespace}_{op}"
        if not hasattr(library, symbol):
            raise ImportError(f"{library._name} has no {symbol}; run: nox -s build_mojo")
        boxed = ctypes.cast(getattr(library, symbol), ctypes.c_void_p)
        name = op if overload == "default" else f"{op}.{overload}"
        _call(_torch.torch_library_impl, handle, name.encode(), boxed, ctypes.c_uint64(_ABI_VERSION))
    _registered[namespace, op] = library, handle  # mapped for as long as the dispatcher may call it


def refuse_derivatives(namespace: str, ops: Sequence[str], library: ctypes.CDLL) -> None:
    """Makes the registered ops of the library refuse derivatives that an overload does not have.

    Raises:
        ImportError: the library was built from older sources.
    """
    symbol = f"{namespace}_set_accessors"
    if not hasattr(library, symbol):
        raise ImportError(f"{library._name} has no {symbol}; run: nox -s build_mojo")
    getattr(library, symbol)(*map(ctypes.c_int64, accessors()))
    if namespace not in _libraries:
        _libraries[namespace] = torch.library.Library(namespace, "FRAGMENT")
        later = sorted(set(artifacts.op_names()) - set(ops))  # another build may bring them
        ensure_refusals(_libraries[namespace], [*ops, *later])
