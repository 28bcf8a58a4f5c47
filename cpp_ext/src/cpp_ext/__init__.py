"""Custom PyTorch ops in C++ and CUDA: ``torch.ops.cpp_ext.<op>``, and a typed function ``cpp_ext.<op>`` for each."""

import importlib
import pkgutil
from typing import Any

import torch

try:
    from . import _C  # loading the library registers the ops
    from . import _pybind as pybind
except ModuleNotFoundError as error:
    if error.name not in ("cpp_ext._C", "cpp_ext._pybind"):
        raise
    raise ImportError("the C++ library of cpp_ext is not built; run `nox -s build_cpp`") from error
except ImportError as error:
    raise ImportError(
        f"the C++ library of cpp_ext does not load into PyTorch {torch.__version__} ({error}); "
        "run `nox -s build_cpp`"
    ) from error

from . import ops

OPS: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(ops.__path__)))

for _name in OPS:
    globals()[_name] = getattr(importlib.import_module(f"{ops.__name__}.{_name}"), _name)


def build_info() -> dict[str, Any]:
    """Facts of this build: compiler, flags, SIMD level, CPU threads, PyTorch built against, GPU and its arch list."""
    facts: dict[str, Any] = dict(pybind.build_facts)
    facts["gpu"] = facts["gpu"] or None
    facts["arch_list"] = facts["arch_list"].split(";") if facts["arch_list"] else None
    facts["threads"] = torch.get_num_threads()
    return facts


__all__ = ["OPS", "build_info", "ops", "pybind", *OPS]
