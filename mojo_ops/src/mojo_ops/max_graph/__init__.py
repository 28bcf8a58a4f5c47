"""The same ops as graphs of MAX's own operations, through `max.experimental.torch.graph_op` (route max_graph).

Each module here gives `graph(*inputs) -> outputs` in terms of `max.graph.ops`. It is compiled at the first call for a
dtype; sizes are symbolic, so other shapes need no other compilation. Scalars are constants of the graph.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.experimental.torch import graph_op
from max.graph import DeviceRef, TensorType, TensorValue
from torch import Tensor

from ..compiled_later import functional, op_module
from ..kernel import Shape


def _compile(name: str, dtype: torch.dtype, device: torch.device, scalars: tuple[float, ...]) -> Callable[..., None]:
    kernel = op_module(name).KERNEL
    build = _graphs[name]
    text = str(dtype).removeprefix("torch.")
    where = DeviceRef.CPU() if device.type == "cpu" else DeviceRef.GPU(device.index)

    def types(shapes: Sequence[Shape]) -> list[TensorType]:
        return [TensorType(DType[text], shape, where) for shape in shapes]

    def graph(*inputs: TensorValue) -> Any:
        return build(*inputs, *scalars)

    # graph_op derives the torch schema from the signature, which must name every input.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [f"input{i}" for i in range(len(kernel.inputs))]
    graph.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    unique = "_".join([name, text, device.type, *(value.hex() for value in scalars)])
    registered = "".join(c if c.isalnum() else "_" for c in f"mojo_ops_{unique}")
    return graph_op(graph, registered, input_types=types(kernel.inputs), output_types=types(kernel.outputs))


def _as_rank(tensor: Tensor, rank: int) -> Tensor:
    if tensor.dim() == rank:
        return tensor
    return tensor.view(-1, *tensor.shape[tensor.dim() - rank + 1 :])


def _fill(name: str) -> Callable[[Sequence[Tensor], Sequence[Any]], None]:
    kernel = op_module(name).KERNEL
    ranks = [len(shape) for shape in (*kernel.outputs, *kernel.inputs)]

    def fill(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
        tensors = [*outputs, *(value for value in inputs if isinstance(value, Tensor))]
        scalars = tuple(value for value in inputs if not isinstance(value, Tensor))
        key = (name, tensors[0].dtype, tensors[0].device, scalars)
        if key not in _compiled:  # a dictionary, because torch.compile can trace a look-up and no compile
            _compiled[key] = _compile(*key)
        run = _compiled[key]
        run(*map(_as_rank, tensors, ranks))

    return fill


_compiled: dict[tuple[str, torch.dtype, torch.device, tuple[float, ...]], Callable[..., None]] = {}
_graphs: dict[str, Callable[..., Any]] = {}
for _name in [module.name for module in pkgutil.iter_modules(__path__)]:
    _graphs[_name] = importlib.import_module(f".{_name}", __name__).graph
    globals()[_name] = functional(_name, _fill(_name))  # in place of the module of that name
