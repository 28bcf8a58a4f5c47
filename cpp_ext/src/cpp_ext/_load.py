"""Loads the library and collects the typed functions of the ops."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import torch

try:
    importlib.import_module("._C", __package__)  # loading it registers the ops
    pybind = importlib.import_module("._pybind", __package__)
except ImportError as error:
    missing = getattr(error, "name", None) in ("cpp_ext", "cpp_ext._C", "cpp_ext._pybind")
    state = "is not built" if missing else f"does not load into PyTorch {torch.__version__} ({error})"
    raise ImportError(f"the C++ library of cpp_ext {state}; run `nox -s build_cpp`") from error

from . import ops

OPS: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(ops.__path__)))
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(importlib.import_module(f"{ops.__name__}.{name}"), name) for name in OPS
}


def build_info() -> dict[str, Any]:
    """Facts of this build: compiler, flags, SIMD level, CPU threads, PyTorch built against, GPU and its arch list."""
    facts: dict[str, Any] = dict(pybind.build_facts)
    facts["gpu"] = facts["gpu"] or None
    facts["arch_list"] = facts["arch_list"].split(";") if facts["arch_list"] else None
    facts["threads"] = torch.get_num_threads()
    return facts
