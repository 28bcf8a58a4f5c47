"""The Mojo kernels without MAX: `torch.ops.mojo_aot.<op>` and `mojo_ops.aot.<op>`, on the CPU.

A shared library that `mojo build` made of the same kernel sources. It speaks PyTorch's stable C ABI itself: what the
dispatcher calls is Mojo (kernels/torch_op.mojo), and work is split over PyTorch's own threads. At run time it needs
libtorch and nothing else. A call costs what one into a C++ extension costs.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import artifacts

# What torch_library_impl converts the arguments for: the layout of torch 2.11, the oldest supported.
_ABI_VERSION = (2 << 56) | (11 << 48)

_torch = ctypes.CDLL("libtorch_cpu.so")  # loaded by `import torch`; named only
_libraries: dict[str, ctypes.CDLL] = {}
_registrations: dict[str, ctypes.c_void_p] = {}


def load(path: str | os.PathLike[str]) -> float:
    """Loads the library of a build folder; its ops take the place of those loaded before.

    Args:
        path: folder written by `python -m mojo_ops.build`, possibly of a few ops only.

    Returns:
        Seconds taken.

    Raises:
        ImportError: the folder holds no library, or the system cannot load it.
        RuntimeError: it was built for a CPU with instructions that this one lacks.
    """
    start = time.perf_counter()
    folder = Path(path)
    file = folder / artifacts.artifact_name("aot")
    record = artifacts.read_record(folder)
    if not record or not file.is_file():
        raise ImportError(f"mojo_ops.aot has no library in {folder}; build it with: nox -s build_mojo")
    if missing := artifacts.missing_library_features(record):
        raise RuntimeError(
            f"mojo_ops.aot was built for {record['targets']['aot'].get('cpu', 'another CPU')}; this CPU lacks "
            f"{', '.join(missing)}. Build it here with: nox -s build_mojo"
        )
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise ImportError(f"mojo_ops.aot: the system cannot load {file}: {error}") from error
    for op in record["ops"]:
        _register(op, library)
    return time.perf_counter() - start


def _call(function: Any, *arguments: Any) -> None:
    if function(*arguments):
        raise ImportError(f"mojo_ops.aot: {function.__name__} of libtorch_cpu failed; torch {torch.__version__}")


def _register(op: str, library: ctypes.CDLL) -> None:
    if op in _registrations:
        _call(_torch.aoti_torch_delete_library_object, _registrations.pop(op))
    handle = ctypes.c_void_p()
    line = ctypes.c_uint32(0)
    _call(_torch.aoti_torch_library_init_impl, b"mojo_aot", b"CPU", b"mojo_ops/aot.py", line, ctypes.byref(handle))
    for overload, symbol in ((op, f"mojo_aot_{op}"), (f"{op}.out", f"mojo_aot_{op}_out")):
        boxed = ctypes.cast(getattr(library, symbol), ctypes.c_void_p)
        _call(_torch.torch_library_impl, handle, overload.encode(), boxed, ctypes.c_uint64(_ABI_VERSION))
    _registrations[op] = handle
    _libraries[op] = library  # mapped for as long as the dispatcher may call it


def _typed(op: str) -> Callable[..., Any]:
    """The typed function of the op, on this route."""
    overload = getattr(torch.ops.mojo_aot, op).default

    @functools.wraps(getattr(importlib.import_module(f".ops.{op}", __package__), op))
    def call(*args: Any, **kwargs: Any) -> Any:
        return overload(*args, **kwargs)

    return call


load_seconds = load(artifacts.ARTIFACTS)

for _name in artifacts.op_names():
    globals()[_name] = _typed(_name)
