"""Route cpp_classic, ``torch.ops.cpp_classic.<op>``: the same kernels behind torch/extension.h, the usual way.

``python setup.py build_classic`` in cpp_ext/ builds the library, slowly, for one version of Python and of PyTorch.
Importing this module loads it; ``pybind`` has its pybind11 functions, which use PyTorch's conversion of tensors.
"""

import importlib

import torch

from ._autograd import FORMULAS, add
from ._derivatives import ensure_refusals
from ._direct import direct_like
from ._fake import add_fakes
from ._library import library
from ._load import FUNCTIONS, OPS
from ._load import library as op_library

BUILD = "run `python setup.py build_classic` in cpp_ext/"

try:
    pybind = importlib.import_module("._classic", __package__)  # loading the library registers the ops
except ImportError as error:
    missing = getattr(error, "name", None) == "cpp_ext._classic"
    state = "is not built" if missing else f"does not load into PyTorch {torch.__version__} ({error})"
    raise ImportError(f"the classic C++ library of cpp_ext {state}; {BUILD}") from error

if unknown := sorted(set(OPS) - set(dir(pybind))):
    raise ImportError(f"the classic C++ library of cpp_ext was built before {', '.join(unknown)} existed; {BUILD}")

for op in OPS:
    add_fakes("cpp_classic", op, op_library.infer)
for op in FORMULAS:
    add("cpp_classic", op)
ensure_refusals(library("cpp_classic"), OPS)

for op in OPS:
    globals()[op] = direct_like(getattr(torch.ops.cpp_classic, op), FUNCTIONS[op], __name__)
