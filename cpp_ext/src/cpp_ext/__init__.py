"""Custom PyTorch ops in C++ and CUDA: ``torch.ops.cpp_ext.<op>``, and a typed function ``cpp_ext.<op>`` for each."""

import importlib
from types import ModuleType

from . import ops
from ._load import FUNCTIONS, OPS, build_info
from .patching import patch

globals().update(FUNCTIONS)
layers = importlib.import_module(".layers", __name__)  # what Hugging Face's kernels looks for in a package
__all__ = ["OPS", "build_info", "layers", "ops", "patch", *OPS]


def __getattr__(name: str) -> ModuleType:
    """``cpp_ext.pybind``: the plain pybind11 functions. Loaded when asked for, and in no wheel: they fit one Python."""
    if name != "pybind":
        raise AttributeError(f"module 'cpp_ext' has no attribute {name!r}")
    try:
        from . import _pybind
    except ImportError as error:
        raise ImportError(f"the pybind11 module of cpp_ext does not load ({error}); run `nox -s build_cpp`") from error
    globals()["pybind"] = _pybind
    return _pybind
