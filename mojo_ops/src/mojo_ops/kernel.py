"""Describes the graph around the Mojo kernel of an op for the build. Imports neither torch nor MAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FLOATS = ("float32", "bfloat16", "float16")

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Kernel:
    """The graph of one op, compiled once for each dtype and for every size.

    A shape lists dimensions. A name is a symbolic dimension, which has the same size wherever it appears; an integer is
    a fixed size. The op flattens leading dimensions that the kernel treats alike.

    For an optional input that is None, the kernel gets a tensor with size zero in every dimension. Arguments that the
    op writes, `Tensor(a!)`, are listed as outputs and not as inputs.

    Attributes:
        name: name of the op; the Mojo struct is registered as `mojo_ops_<name>`.
        outputs: shapes of the tensors that the kernel writes, in argument order.
        inputs: shapes of the tensors that the kernel reads.
        optional: positions of the inputs that may be None.
        scalars: types of the scalars, “float32” or “int64” (for int and bool); an integer n means n times “float32”.
        dtypes: element types, each of which has its own graph; they apply to all tensors that are not in
            `output_dtypes` or `input_dtypes`.
        output_dtypes: fixed element types of outputs, by position.
        input_dtypes: fixed element types of inputs, by position.
        in_place: whether the op writes its first arguments, which are listed as outputs.
    """

    name: str
    outputs: tuple[Shape, ...]
    inputs: tuple[Shape, ...]
    optional: tuple[int, ...] = ()
    scalars: int | tuple[str, ...] = ()
    dtypes: tuple[str, ...] = FLOATS
    output_dtypes: Mapping[int, str] = field(default_factory=dict)
    input_dtypes: Mapping[int, str] = field(default_factory=dict)
    in_place: bool = False

    @property
    def struct(self) -> str:
        """Name under which the Mojo struct is registered."""
        return f"mojo_ops_{self.name}"

    @property
    def graph_inputs(self) -> list[Shape]:
        """Shapes of the inputs in a GPU graph. An optional input has its own dimensions, because they may be zero."""
        free = [tuple(f"input{i}_{d}" for d in range(len(shape))) for i, shape in enumerate(self.inputs)]
        return [free[i] if i in self.optional else shape for i, shape in enumerate(self.inputs)]

    @property
    def scalar_types(self) -> tuple[str, ...]:
        """Types of the scalars, in order."""
        return ("float32",) * self.scalars if isinstance(self.scalars, int) else self.scalars

    def tensor_dtypes(self, dtype: str) -> list[str]:
        """Element types of outputs and inputs in the graph for one dtype."""
        return [self.output_dtypes.get(i, dtype) for i in range(len(self.outputs))] + [
            self.input_dtypes.get(i, dtype) for i in range(len(self.inputs))
        ]

    @property
    def lead(self) -> int:
        """Position of the first output or input that has the dtype for which the graph is named."""
        return self.tensor_dtypes("").index("")

    def graph_name(self, dtype: str) -> str:
        """Name of the graph for one dtype in the MEF."""
        return f"{self.name}_{dtype}"


def split_graph_name(graph_name: str) -> tuple[str, str]:
    """The op and the dtype of a graph: the inverse of `Kernel.graph_name`."""
    op, _, dtype = graph_name.rpartition("_")
    return op, dtype
