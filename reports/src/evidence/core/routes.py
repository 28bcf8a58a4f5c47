"""What the analysis knows about routes: which side each belongs to, and which one represents its side."""

from __future__ import annotations

from collections.abc import Iterable

CPP = "cpp"
MOJO = "mojo"
SIDES = (CPP, MOJO)
SIDE_NAMES = {CPP: "C++", MOJO: "Mojo"}

ORDER = (
    "eager",
    "compile",
    "cpp",
    "cpp_pybind",
    "cpp_classic",
    "mojo",
    "mojo_aot",
    "mojo_stock",
    "max_graph",
)

REPRESENTATIVE = {CPP: "cpp", MOJO: "mojo_aot"}
"""The one route that represents its side on the CPU, in every comparison of a question."""

REPRESENTATIVE_ON_GPU = {CPP: "cpp", MOJO: "mojo"}
"""The same on a GPU, for which the library without MAX is not built."""

DOCUMENTED = {CPP: "cpp_classic", MOJO: "mojo_stock"}
"""The route that the talk and the documentation show."""

WHAT = {
    "eager": "PyTorch as a user writes it, with the fused ATen op where one exists",
    "compile": "torch.compile of that",
    "cpp": "C++ kernel behind TORCH_LIBRARY, stable ABI",
    "cpp_pybind": "the same C++ kernel as a plain pybind11 function",
    "cpp_classic": "the same C++ kernel behind torch/extension.h, pybind11 and TORCH_LIBRARY, as the talk shows it",
    "mojo": "Mojo kernel compiled ahead of time by MAX, run by its engine, called straight from PyTorch's dispatcher",
    "mojo_aot": "the same Mojo kernel in a shared library behind PyTorch's stable C ABI, no MAX at run time (CPU)",
    "mojo_stock": "the same Mojo kernel through CustomOpLibrary, as the documentation shows it",
    "max_graph": "graph_op over MAX's own graph operations",
}


def representative(side: str, device: str = "cpu") -> str:
    """The route that represents a side on a device; every other route of the side decides nothing."""
    return (REPRESENTATIVE if device == "cpu" else REPRESENTATIVE_ON_GPU)[side]


def measured_representative(side: str, measured: Iterable[str], device: str = "cpu") -> str | None:
    """The side's representative if it is among the measured routes, else None: no other route takes its place."""
    route = representative(side, device)
    return route if route in set(measured) else None


def side_of(route: str) -> str | None:
    """`cpp`, `mojo`, or None for PyTorch's own routes."""
    if route.startswith("cpp"):
        return CPP
    if route.startswith(("mojo", "max")):
        return MOJO
    return None


def order(route: str) -> tuple[int, str]:
    """Sort key: the order of the reports, unknown routes last by name."""
    return (ORDER.index(route) if route in ORDER else len(ORDER), route)
