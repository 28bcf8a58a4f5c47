"""Loads the library and collects the typed functions of the ops."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import _cpu, ops
from ._autograd import FORMULAS
from ._autograd_kernel import autograd_accessors, available
from ._derivatives import ensure_refusals
from ._fake import add_fakes
from ._library import library as python_library

_level = Path(__file__).with_name(
    "cpu_level.txt"
)  # only in wheels, because a build in place is for the CPU of this machine
if _level.exists():
    _cpu.require(_level.read_text(), _cpu.cpu_features())

try:
    library = importlib.import_module("._C", __package__)  # loading the library registers the ops
except ImportError as error:
    missing = getattr(error, "name", None) in ("cpp_ext", "cpp_ext._C")
    state = "is not built" if missing else f"does not load into PyTorch {torch.__version__} ({error})"
    raise ImportError(f"the C++ library of cpp_ext {state}; run `nox -s build_cpp`") from error

# A module contains the op of its name, or several ops whose names are joined by two underscores.
_modules = {op: module.name for module in pkgutil.iter_modules(ops.__path__) for op in module.name.split("__")}
OPS: tuple[str, ...] = tuple(sorted(_modules))
if unbuilt := [op for op in OPS if not hasattr(torch.ops.cpp_ext, op)]:
    newer = ", ".join(unbuilt)
    raise ImportError(f"the C++ library of cpp_ext was built before {newer} existed; run `nox -s build_cpp`")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    op: getattr(importlib.import_module(f"{ops.__name__}.{_modules[op]}"), op) for op in OPS
}

for _op in OPS:
    add_fakes("cpp_ext", _op, library.infer)
library.set_accessors(*autograd_accessors())
ensure_refusals(python_library("cpp_ext"), OPS)
if available():
    for _op in FORMULAS:
        library.implement_autograd(_op)


def build_info() -> dict[str, Any]:
    """Facts about this build: compiler, flags, SIMD level, CPU threads, PyTorch version, GPU and its architectures."""
    facts: dict[str, Any] = dict(library.build_facts)
    facts["gpu"] = facts["gpu"] or None
    facts["arch_list"] = facts["arch_list"].split(";") if facts["arch_list"] else None
    facts["threads"] = torch.get_num_threads()
    return facts
