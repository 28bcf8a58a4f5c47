"""The Mojo kernels without MAX: `torch.ops.mojo_aot.<op>` and `mojo_ops.aot.<op>`, on the CPU.

`mojo build` compiles the same kernel sources into a shared library that uses PyTorch's stable C ABI directly: the
dispatcher calls Mojo functions (kernels/common/torch_op.mojo), which split their work over PyTorch's threads. At run
time it needs only libtorch. A call takes as long as a call of a C++ extension.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import time
from pathlib import Path

import torch

from . import artifacts, native
from ._direct import direct_like


def load(path: str | os.PathLike[str]) -> float:
    """Loads the library in a build folder. Its ops replace the loaded ops of the same name.

    Args:
        path: folder written by `python -m mojo_ops.build`; it may contain only some ops.

    Returns:
        Seconds taken.

    Raises:
        ImportError: the folder contains no library, or the system cannot load it.
        RuntimeError: the library needs CPU instructions that this machine lacks.
    """
    start = time.perf_counter()
    folder = Path(path)
    file = folder / artifacts.artifact_name("aot")
    record = artifacts.read_record(folder)
    if not record or not file.is_file():
        raise ImportError(f"mojo_ops.aot has no library in {folder}; build it with: nox -s build_mojo")
    artifacts.require_cpu("mojo_ops.aot", record, artifacts.missing_library_features(record))
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise ImportError(f"mojo_ops.aot: the system cannot load {file}: {error}") from error
    native.set_accessors("mojo_aot", library)
    for op in record["ops"]:
        native.register("mojo_aot", op, library)
    native.refuse_derivatives("mojo_aot", record["ops"])
    return time.perf_counter() - start


load_seconds = load(artifacts.ARTIFACTS)

for _name in artifacts.op_names():
    _typed = getattr(importlib.import_module(f".ops.{artifacts.module_of(_name)}", __package__), _name)
    globals()[_name] = direct_like(getattr(torch.ops.mojo_aot, _name), _typed, __name__)
