"""Registers the C entry points of a Mojo library with PyTorch's dispatcher, for the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch

from . import artifacts, infer
from ._autograd_kernel import autograd_accessors, available
from ._derivatives import ensure_refusals

# torch_library_impl converts arguments for this ABI version: torch 2.11, the oldest that is supported.
_ABI_VERSION = (2 << 56) | (11 << 48)

_torch = ctypes.CDLL("libtorch_cpu.so")  # already loaded by `import torch`
_libraries: dict[str, torch.library.Library] = {}
_registered: dict[tuple[str, str], tuple[ctypes.CDLL, list[ctypes.c_void_p]]] = {}


def _call(function: Any, *arguments: object) -> None:
    if function(*arguments):
        raise ImportError(f"{function.__name__} of libtorch_cpu failed; torch {torch.__version__}")


def address(function: str) -> int | None:
    """The address of a C function of PyTorch."""
    return ctypes.cast(getattr(_torch, function), ctypes.c_void_p).value


def set_accessors(namespace: str, library: ctypes.CDLL) -> None:
    """Passes the addresses of tensor accessors to a library. Must be called before `register`.

    Raises:
        ImportError: the library was built from older sources.
    """
    values = autograd_accessors()
    _entry(library, f"{namespace}_set_accessors")((ctypes.c_int64 * len(values))(*values))


def register(namespace: str, op: str, library: ctypes.CDLL) -> None:
    """Registers `<namespace>_<op>` and `<namespace>_<op>_out` of a library as CPU kernels of an op and its out variant.

    They and the checks of the library replace earlier registrations. The overload `no_grad` has the same kernel as the
    functional form. For an op with a gradient formula, `<namespace>_<op>_autograd` is registered on the key
    AutogradCPU, see `_autograd_kernel`.

    Raises:
        ImportError: PyTorch rejected the registration, or the library has no such entry point.
    """
    infer.provide(namespace, op, library)
    if (namespace, op) in _registered:
        for handle in _registered.pop((namespace, op))[1]:
            _call(_torch.aoti_torch_delete_library_object, handle)
    overloads = set(getattr(getattr(torch.ops, namespace), op).overloads())
    kernels = {"CPU": {"default": "", "no_grad": "", "out": "_out"}}
    if "autograd" in overloads and available():
        kernels["AutogradCPU"] = {"default": "_autograd"}
    handles = []
    for key, suffixes in kernels.items():
        handle = ctypes.c_void_p()
        file, line = b"mojo_ops/native.py", ctypes.c_uint32(0)
        _call(_torch.aoti_torch_library_init_impl, namespace.encode(), key.encode(), file, line, ctypes.byref(handle))
        for overload in sorted(overloads & suffixes.keys()):
            boxed = ctypes.cast(_entry(library, f"{namespace}_{op}{suffixes[overload]}"), ctypes.c_void_p)
            name = op if overload == "default" else f"{op}.{overload}"
            _call(_torch.torch_library_impl, handle, name.encode(), boxed, ctypes.c_uint64(_ABI_VERSION))
        handles.append(handle)
    _registered[namespace, op] = library, handles  # keeps the library loaded, because the dispatcher may call it


def _entry(library: ctypes.CDLL, symbol: str) -> Any:
    if not hasattr(library, symbol):
        raise ImportError(f"{library._name} has no {symbol}; run: nox -s build_mojo")
    return getattr(library, symbol)


def refuse_derivatives(namespace: str, ops: Sequence[str]) -> None:
    """Makes the overloads without derivatives raise an error when one is requested."""
    if namespace not in _libraries:
        _libraries[namespace] = torch.library.Library(namespace, "FRAGMENT")
        unbuilt = sorted(set(artifacts.op_names()) - set(ops))  # ops that another build may register later
        ensure_refusals(_libraries[namespace], [*ops, *unbuilt])
