"""PyTorch ops written in Mojo, compiled ahead of time by MAX: `torch.ops.mojo_ops.<op>` and `mojo_ops.<op>`.

    import torch, mojo_ops
    y = mojo_ops.rms_norm(torch.randn(2, 4096), torch.ones(4096), 1e-6)

`mojo_ops.stock` and `mojo_ops.max_graph` hold the same ops through MAX's own PyTorch bridge; they compile at the first
call and are imported only when asked for.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_BUILDERS = ("mojo_ops.build", "mojo_ops.compile")
_LAZY = ("stock", "max_graph")


def _building() -> bool:
    """Whether Python runs `-m mojo_ops.build`, which imports this package before there is anything to load."""
    command = sys.orig_argv
    return "-m" in command and command[command.index("-m") + 1 :][:1] in ([name] for name in _BUILDERS)


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not _building():
    from . import artifacts
    from .bridge import load

    _load_seconds = load(artifacts.ARTIFACTS)

    for _name in artifacts.op_names():
        globals()[_name] = getattr(importlib.import_module(f".ops.{_name}", __name__), _name)

    def build_info() -> dict[str, Any]:
        """Facts about the build: versions, CPU, targets with seconds by stage and bytes, and how long loading took."""
        return artifacts.read_record(artifacts.ARTIFACTS) | {"load_seconds": _load_seconds}
