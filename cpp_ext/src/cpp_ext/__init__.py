"""Custom PyTorch ops in C++ and CUDA: ``torch.ops.cpp_ext.<op>``, and a typed function ``cpp_ext.<op>`` for each."""

import importlib
from types import ModuleType

from . import ops
from ._load import FUNCTIONS, OPS, build_info
from .patching import patch

globals().update(FUNCTIONS)
__all__ = ["OPS", "build_info", "ops", "patch", *OPS]


def __getattr__(name: str) -> ModuleType:
    """``cpp_ext.layers`` and ``cpp_ext.pybind``, loaded on first use.

    Wheels do not contain the pybind11 functions, because these are built for a single version of Python.
    """
    if name == "layers":
        return importlib.import_module(".layers", __name__)
    if name != "pybind":
        raise AttributeError(f"module 'cpp_ext' has no attribute {name!r}")
    try:
        from . import _pybind
    except ImportError as error:
        raise ImportError(f"the pybind11 module of cpp_ext does not load ({error}); run `nox -s build_cpp`") from error
    globals()["pybind"] = _pybind
    return _pybind
