"""The routes in the order of the reports. A new one is a record here and, unless PyTorch's dispatcher calls it, code in
`routes.py` that calls it."""

from __future__ import annotations

from shared_tests import route_sources
from shared_tests.route_facts import CPP, MOJO, PYTORCH, RouteFacts

# As where MAX is not installed: with it the package also loads the engine's graphs.
_WITHOUT_MAX = (
    "import importlib.util as u; find = u.find_spec; "
    "u.find_spec = lambda name, *rest: None if name == 'max' else find(name, *rest)"
)
_BUILT_MOJO = "mojo_ops/src/mojo_ops/artifacts/"
_NATIVE = "mojo_ops/src/mojo_ops/native.py"

# Okabe and Ito's palette can be told apart in every common form of colour blindness: blue for C++, warm for Mojo.
ROUTES = (
    RouteFacts(
        name="eager",
        side=PYTORCH,
        what="PyTorch as a user writes it, with the fused ATen op where one exists",
        colour="#7f7f7f",
        dark_colour="#a6a6a6",
        symbol="circle",
    ),
    RouteFacts(
        name="compile",
        side=PYTORCH,
        what="torch.compile of that",
        jit=True,
        colour="#b0699a",
        dark_colour="#cf97bd",
        symbol="cross",
    ),
    RouteFacts(
        name="cpp",
        side=CPP,
        what="C++ kernel behind TORCH_LIBRARY, stable ABI",
        represents=("cpu", "cuda"),
        package="cpp_ext",
        namespace="cpp_ext",
        builds=("cpp",),
        artifacts=("cpp_ext/src/cpp_ext/_C*.so",),
        load="import cpp_ext",
        add="torch.ops.cpp_ext.add",
        sources=route_sources.CPP,
        colour="#0072b2",
        dark_colour="#4ba3dd",
        symbol="square",
    ),
    RouteFacts(
        name="cpp_pybind",
        side=CPP,
        what="the same C++ kernel as a plain pybind11 function",
        devices=("cpu",),
        same_kernel_as="cpp",
        package="cpp_ext",
        builds=("cpp",),
        # Its functions are those that the library of route cpp registers.
        artifacts=("cpp_ext/src/cpp_ext/_C*.so", "cpp_ext/src/cpp_ext/_pybind*.so"),
        load="import cpp_ext",
        add="cpp_ext.pybind.add",
        sources=route_sources.CPP_PYBIND,
        colour="#56b4e9",
        symbol="diamond",
    ),
    RouteFacts(
        name="cpp_classic",
        side=CPP,
        what="the same C++ kernel behind torch/extension.h, pybind11 and TORCH_LIBRARY, as the talk shows it",
        documented=True,
        same_kernel_as="cpp",
        package="cpp_ext.classic",
        namespace="cpp_classic",
        builds=("cpp", "cpp_classic"),
        artifacts=("cpp_ext/src/cpp_ext/_classic*.so",),
        # The package around the library needs the stable library as well.
        load="import glob; torch.ops.load_library(glob.glob('cpp_ext/src/cpp_ext/_classic*.so')[0])",
        add="torch.ops.cpp_classic.add",
        sources=route_sources.CPP_CLASSIC,
        colour="#3a4f9f",
        dark_colour="#8d9be8",
        symbol="pentagon",
    ),
    RouteFacts(
        name="mojo",
        side=MOJO,
        what="Mojo kernel compiled ahead of time by MAX, run by its engine, called straight from PyTorch's dispatcher",
        represents=("cuda",),
        needs_max=True,
        package="mojo_ops",
        namespace="mojo_ops",
        builds=("mojo",),
        artifacts=(f"{_BUILT_MOJO}cpu.mef", f"{_BUILT_MOJO}libmojo_ops.so"),
        names_functions_in=(_NATIVE, "mojo_ops/src/mojo_ops/engine.py"),
        load="import mojo_ops",
        add="torch.ops.mojo_ops.add",
        sources=route_sources.MOJO,
        colour="#d55e00",
        dark_colour="#f08a3c",
        symbol="circle",
    ),
    RouteFacts(
        name="mojo_aot",
        side=MOJO,
        what="the same Mojo kernel in a shared library behind PyTorch's stable C ABI, no MAX at run time (CPU)",
        represents=("cpu",),
        devices=("cpu",),
        package="mojo_ops.aot",
        namespace="mojo_aot",
        builds=("mojo", "mojo_aot"),  # the package's build record is that of the engine's graphs
        artifacts=(f"{_BUILT_MOJO}libmojo_aot.so",),
        names_functions_in=(_NATIVE,),
        load=f"{_WITHOUT_MAX}; import mojo_ops.aot",
        add="torch.ops.mojo_aot.add",
        sources=route_sources.MOJO_AOT,
        colour="#a33b20",
        dark_colour="#e0705a",
        symbol="hexagon",
    ),
    RouteFacts(
        name="mojo_stock",
        side=MOJO,
        what="the same Mojo kernel through CustomOpLibrary, as the documentation shows it",
        documented=True,
        jit=True,
        needs_max=True,
        package="mojo_ops.stock",
        builds=("mojo",),
        artifacts=(f"{_BUILT_MOJO}kernels.mojoc",),
        sources=route_sources.MOJO_STOCK,
        colour="#e69f00",
        symbol="triangle-up",
    ),
    RouteFacts(
        name="max_graph",
        side=MOJO,
        what="graph_op over MAX's own graph operations",
        jit=True,
        needs_max=True,
        some_ops=True,
        package="mojo_ops.max_graph",
        builds=("mojo",),
        sources=route_sources.MAX_GRAPH,
        colour="#009e73",
        dark_colour="#2fc39a",
        symbol="triangle-down",
    ),
)


def facts() -> dict[str, RouteFacts]:
    """Every route's record by name, in the order of the reports."""
    return {route.name: route for route in ROUTES}
