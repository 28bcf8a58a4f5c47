"""What the build must know of an op: the graph around its Mojo kernel. Imports neither torch nor MAX."""

from __future__ import annotations

from dataclasses import dataclass

FLOATS = ("float32", "bfloat16", "float16")

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Kernel:
    """The graph of one op, compiled once for each dtype and for every size.

    A shape lists dimensions: a name is a symbolic dimension, the same size wherever it appears and free otherwise; an
    integer is fixed. Leading dimensions that the kernel treats alike are flattened by the op before the call.

    Attributes:
        name: of the op; the Mojo struct is registered as `mojo_ops_<name>`.
        outputs: shapes of the tensors that the kernel writes, in its argument order.
        inputs: shapes of the tensors that it reads.
        scalars: number of float32 scalars, given at each call.
        dtypes: element types of all tensors.
    """

    name: str
    outputs: tuple[Shape, ...]
    inputs: tuple[Shape, ...]
    scalars: int = 0
    dtypes: tuple[str, ...] = FLOATS

    @property
    def struct(self) -> str:
        """Name under which the Mojo struct is registered."""
        return f"mojo_ops_{self.name}"

    def graph_name(self, dtype: str) -> str:
        """Name of the graph for one dtype, as the MEF carries it."""
        return f"{self.name}_{dtype}"


def split_graph_name(graph_name: str) -> tuple[str, str]:
    """The op and the dtype of a graph: the inverse of `Kernel.graph_name`."""
    op, _, dtype = graph_name.rpartition("_")
    return op, dtype
