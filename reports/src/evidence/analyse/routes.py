"""What the analysis knows about routes: which side each belongs to, and which one speaks for its side."""

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

PRIMARY = {CPP: "cpp", MOJO: "mojo_aot"}
"""The route that speaks for its side unless another one is shown to be faster."""

SECOND = {CPP: (), MOJO: ("mojo",)}
"""Who speaks where the first was not measured: mojo_aot is for the CPU only."""

DOCUMENTED = {CPP: ("cpp_classic", "cpp_pybind"), MOJO: ("mojo_stock",)}
"""What the talk and the documentation show; the first one that was measured counts."""

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
