"""What the build must know of an op: the graph around its Mojo kernel. Imports neither torch nor MAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FLOATS = ("float32", "bfloat16", "float16")

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Kernel:
    """The graph of one op, compiled once for each dtype and for every size.

    A shape lists dimensions: a name is a symbolic dimension, the same size wherever it appears and free otherwise; an
    integer is fixed. Leading dimensions that the kernel treats alike are flattened by the op before the call.

    Where an optional input is None, the kernel gets a tensor of size zero in every dimension. Arguments that the op
    writes, `Tensor(a!)`, are outputs here and no inputs.

    Attributes:
        name: of the op; the Mojo struct is registered as `mojo_ops_<name>`.
        outputs: shapes of the tensors that the kernel writes, in its argument order.
        inputs: shapes of the tensors that it reads.
        optional: positions of the inputs that may be None.
        scalars: types of the scalars given at each call, “float32” or “int64” (for int and bool); a number stands for
            so many of float32.
        dtypes: element types of all tensors but those of `output_dtypes` and `input_dtypes`; a graph is made for each.
        output_dtypes: element types of outputs that have one of their own, by position.
        input_dtypes: the same for inputs.
        in_place: whether the op writes its first arguments, which are the outputs here.
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
        """Shapes of the inputs in a GPU graph: size zero must be allowed for an optional one, so nothing binds it."""
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
        """The first of outputs and inputs that has the dtype after which the graph is named."""
        return self.tensor_dtypes("").index("")

    def graph_name(self, dtype: str) -> str:
        """Name of the graph for one dtype, as the MEF carries it."""
        return f"{self.name}_{dtype}"


def split_graph_name(graph_name: str) -> tuple[str, str]:
    """The op and the dtype of a graph: the inverse of `Kernel.graph_name`."""
    op, _, dtype = graph_name.rpartition("_")
    return op, dtype
