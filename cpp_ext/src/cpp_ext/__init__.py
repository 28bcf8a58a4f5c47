"""Custom PyTorch ops in C++ and CUDA: ``torch.ops.cpp_ext.<op>``, and a typed function ``cpp_ext.<op>`` for each."""

import sys

# `python -m cpp_ext.cuda_check` imports this package first and has to run before anything is built.
if "cpp_ext.cuda_check" not in sys.orig_argv:
    from . import ops
    from ._load import FUNCTIONS, OPS, build_info, pybind

    globals().update(FUNCTIONS)
    __all__ = ["OPS", "build_info", "ops", "pybind", *OPS]
