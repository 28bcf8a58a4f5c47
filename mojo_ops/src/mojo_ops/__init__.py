"""PyTorch ops written in Mojo, compiled ahead of time by MAX: `torch.ops.mojo_ops.<op>` and `mojo_ops.<op>`.

    import torch, mojo_ops
    y = mojo_ops.rms_norm(torch.randn(2, 4096), torch.ones(4096), 1e-6)

`mojo_ops.aot` contains the same kernels in a shared library that runs on the CPU without MAX. If MAX is not installed,
only this module is available.

`mojo_ops.layers` contains the layers that Hugging Face's `kernels` loads from a folder made by `nox -s hub`.

`mojo_ops.stock` and `mojo_ops.max_graph` call the same ops through MAX's own PyTorch bridge. They compile at the first
call, and are not imported with the package.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from . import artifacts

_BUILDERS = ("mojo_ops.build", "mojo_ops.compile")
_LAZY = ("aot", "layers", "stock", "max_graph")


def _building() -> bool:
    """Whether Python runs `-m mojo_ops.build`, which imports this package before its artifacts exist."""
    command = sys.orig_argv
    return "-m" in command and command[command.index("-m") + 1 :][:1] in ([name] for name in _BUILDERS)


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(path: str | os.PathLike[str]) -> float:
    """Loads the artifacts in a build folder: graphs for the engine, and the library of `mojo_ops.aot`.

    The ops in the folder replace the loaded ops of the same name.

    Args:
        path: folder written by `python -m mojo_ops.build`; it may contain only some ops (`--ops add --out DIR`).

    Returns:
        Seconds taken.

    Raises:
        ImportError: the folder contains no build.
        RuntimeError: the build needs CPU instructions that this machine lacks, or another version of MAX.
    """
    targets = artifacts.read_record(Path(path)).get("targets", {})
    seconds = 0.0
    if "cpu" in targets or "aot" not in targets:
        from . import engine

        seconds += engine.load(path)
    if "aot" in targets:
        from . import aot

        seconds += aot.load(path)
    return seconds


if not _building():
    from .patching import patch as patch
    from .register import WITH_MAX

    for _name in artifacts.op_names():
        globals()[_name] = getattr(importlib.import_module(f".ops.{artifacts.module_of(_name)}", __name__), _name)

    _load_seconds = 0.0
    _targets = artifacts.read_record(artifacts.ARTIFACTS).get("targets", {})
    if WITH_MAX and ("cpu" in _targets or "aot" not in _targets):
        from . import engine

        _load_seconds = engine.load(artifacts.ARTIFACTS)
    else:
        importlib.import_module(".aot", __name__)  # raises an error that names what is missing

    def build_info() -> dict[str, Any]:
        """Facts about the build: versions, CPU, targets with seconds by stage and bytes, and how long loading took."""
        return artifacts.read_record(artifacts.ARTIFACTS) | {"load_seconds": _load_seconds}
