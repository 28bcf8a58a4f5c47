"""What each route's code consists of. Each list is complete: files that two routes share stand in both."""

from __future__ import annotations

from shared_tests.route_facts import Sources

_AUTOGRAD = ("_autocast.py", "_autograd_kernel.py", "_derivatives.py", "_formulas.py")
_PATCH = ("_routes.py", "layers.py", "patching/*.py")
# `_AUTOGRAD` and `_PATCH` are copies of one source: an adopter of either side alone would have to write them.

# ---- C++ ----

_CPP = "cpp_ext/src/cpp_ext/"
_BINDINGS = "cpp_ext/csrc/bindings/"
_CPP_KERNELS = ("cpp_ext/csrc/cpu/{op}.cpp", "cpp_ext/csrc/cuda/{op}.cu")
_CPP_SHARED = ("cpp_ext/csrc/common/*.h",)
_CPP_GLUE = (f"{_CPP}ops/{{op}}.py",)
_CPP_BUILD = ("cpp_ext/setup.py", "cpp_ext/pyproject.toml")
_REGISTRY = tuple(f"cpp_ext/csrc/common/{name}.h" for name in ("checks", "op", "register", "shape"))
_CPP_PACKAGE = tuple(_CPP + name for name in ("__init__.py", "_load.py", "_cpu.py", *_PATCH))
_CPP_REGISTERED = tuple(
    _CPP + name for name in ("_direct.py", "_fake.py", "_library.py", "_autograd.py", *_AUTOGRAD, "ops/__init__.py")
)

CPP = Sources(
    cut=_CPP_KERNELS,
    glue=_CPP_GLUE,
    shared_kernel=_CPP_SHARED,
    shared_binding=(*_REGISTRY, *(_BINDINGS + name for name in ("dispatcher.cpp", "infer.cpp", "module.cpp", "*.h"))),
    shared_build=_CPP_BUILD,
    shared_glue=(*_CPP_PACKAGE, *_CPP_REGISTERED),
)
CPP_PYBIND = Sources(
    cut=_CPP_KERNELS,
    shared_kernel=_CPP_SHARED,
    # Its functions come from the library of route cpp, which registers itself as well.
    shared_binding=(*_REGISTRY, f"{_BINDINGS}*"),
    shared_build=_CPP_BUILD,
    shared_glue=_CPP_PACKAGE,
)
CPP_CLASSIC = Sources(
    cut=_CPP_KERNELS,
    glue=_CPP_GLUE,
    shared_kernel=_CPP_SHARED,
    # classic_ops.py writes what a classic extension has by hand: a function and four registrations for each op.
    shared_binding=(
        *_REGISTRY,
        *(_BINDINGS + name for name in ("infer.cpp", "infer.h", "signature.h")),
        "cpp_ext/csrc/classic/*",
        "cpp_ext/classic_ops.py",
    ),
    shared_build=_CPP_BUILD,
    shared_glue=(*_CPP_PACKAGE, *_CPP_REGISTERED, f"{_CPP}classic.py"),
)

# ---- Mojo ----

_MOJO = "mojo_ops/src/mojo_ops/"
_MOJO_KERNELS = ("mojo_ops/kernels/{op}.mojo",)
_MOJO_SHARED = ("mojo_ops/kernels/__init__.mojo", "mojo_ops/kernels/common/*.mojo")
_MOJO_GLUE = (f"{_MOJO}ops/{{op}}.py",)
_MOJO_TORCH = ("mojo_ops/kernels/common/torch_*.mojo",)
_MAX_C_API = ("mojo_ops/kernels/common/engine.mojo",)
_CALLED_BY_MAX = ("mojo_ops/kernels/common/max_call.mojo", f"{_MOJO}bindings.py")
_MOJO_PROJECT = ("mojo_ops/pyproject.toml", "mojo_ops/setup.py")
_MOJO_BUILD = (*_MOJO_PROJECT, *(f"{_MOJO}{name}.py" for name in ("build", "library", "artifacts")))
_MOJO_COMMON = ("__init__.py", "_direct.py", "infer.py", "kernel.py", "register.py", "symbols.py", *_AUTOGRAD, *_PATCH)
_MOJO_REGISTERED = tuple(_MOJO + name for name in (*_MOJO_COMMON, "native.py", "ops/__init__.py"))
_COMPILED_LATER = tuple(_MOJO + name for name in (*_MOJO_COMMON, "compiled_later.py"))

MOJO = Sources(
    cut=_MOJO_KERNELS,
    glue=_MOJO_GLUE,
    shared_kernel=_MOJO_SHARED,
    shared_binding=(*_MOJO_TORCH, *_MAX_C_API, *_CALLED_BY_MAX),
    gpu=_CALLED_BY_MAX,
    shared_build=(*_MOJO_BUILD, f"{_MOJO}compile.py"),
    shared_glue=(*_MOJO_REGISTERED, f"{_MOJO}engine.py", f"{_MOJO}gpu*.py"),
)
MOJO_AOT = Sources(
    cut=_MOJO_KERNELS,
    glue=_MOJO_GLUE,
    shared_kernel=_MOJO_SHARED,
    shared_binding=_MOJO_TORCH,
    shared_build=_MOJO_BUILD,
    shared_glue=(*_MOJO_REGISTERED, f"{_MOJO}aot.py"),
)
MOJO_STOCK = Sources(
    cut=_MOJO_KERNELS,
    glue=_MOJO_GLUE,
    shared_kernel=_MOJO_SHARED,
    shared_binding=(*_MOJO_TORCH, *_CALLED_BY_MAX),
    # CustomOpLibrary compiles by itself: only the package's files are build configuration.
    shared_build=_MOJO_PROJECT,
    shared_glue=(*_COMPILED_LATER, f"{_MOJO}stock.py"),
)
MAX_GRAPH = Sources(
    glue=(f"{_MOJO}max_graph/{{op}}.py", *_MOJO_GLUE),
    shared_build=_MOJO_PROJECT,
    shared_glue=(*_COMPILED_LATER, f"{_MOJO}max_graph/__init__.py"),
)
