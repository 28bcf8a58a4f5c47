"""The same ops as graphs of MAX's own operations, through `max.experimental.torch.graph_op` (route max_graph).

Each module defines `graph(*inputs) -> outputs` with `max.graph.ops`. The graph is compiled at the first call for a
dtype; its sizes are symbolic, so other shapes do not compile again. Scalars are constants of the graph, and each set of
missing optional tensors has its own graph. A dimension of KERNEL that has the name of a scalar has its value. If an op
writes its arguments, the graph returns their new values. A module may define `prepare(*arguments) -> arguments` with
PyTorch operations that a graph cannot do for every shape. An op without a module does not have this route.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.experimental.torch import graph_op
from max.graph import DeviceRef, TensorType, TensorValue
from torch import Tensor

from ..compiled_later import functional, kernel_inputs, operands, scalar_names
from ..kernel import Shape


def _compile(
    name: str, dtype: torch.dtype, device: torch.device, presence: tuple[bool, ...], scalars: tuple[Any, ...]
) -> Callable[..., None]:
    kernel = operands(name)
    build = _graphs[name]
    text = str(dtype).removeprefix("torch.")
    device_ref = DeviceRef.CPU() if device.type == "cpu" else DeviceRef.GPU(device.index)
    fixed = dict(zip(scalar_names(name), scalars, strict=True))

    def types(tensors: Iterable[tuple[str, Shape]]) -> list[TensorType]:
        return [
            TensorType(DType[fixed_dtype or text], [fixed.get(d, d) for d in shape], device_ref)  # type: ignore[arg-type]
            for fixed_dtype, shape in tensors
        ]

    def graph(*inputs: TensorValue) -> Any:
        values = iter(inputs)
        return build(*[next(values) if is_present else None for is_present in presence], *scalars)

    inputs = [tensor for tensor, is_present in zip(kernel_inputs(name), presence, strict=True) if is_present]
    outputs = zip(kernel.tensor_dtypes(""), kernel.outputs, strict=False)
    # graph_op derives the torch schema from the signature, which must name every input.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [f"input{i}" for i in range(len(inputs))]
    graph.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    constants = [value.hex() if isinstance(value, float) else str(value) for value in scalars]
    suffix = "_".join(
        [name, text, device.type, *("given" if is_present else "none" for is_present in presence), *constants]
    )
    op_name = "".join(c if c.isalnum() else "_" for c in f"mojo_ops_{suffix}")
    return graph_op(graph, op_name, input_types=types(inputs), output_types=types(outputs))


def _as_rank(tensor: Tensor, rank: int) -> Tensor:
    if tensor.dim() <= rank:
        return tensor.view((1,) * (rank - tensor.dim()) + tuple(tensor.shape))
    return tensor.view(-1, *tensor.shape[tensor.dim() - rank + 1 :])


def _fill(name: str) -> Callable[[Sequence[Tensor], Sequence[Any]], None]:
    kernel = operands(name)
    shapes = [*kernel.outputs, *(shape for _, shape in kernel_inputs(name))]
    tensors = len(shapes) - len(kernel.outputs)
    prepare = _prepare.get(name)

    def fill(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
        if prepare is not None:
            inputs = prepare(*inputs)
        views = [*outputs, *inputs[:tensors]]
        presence = tuple(value is not None for value in inputs[:tensors])
        key = (name, views[kernel.lead].dtype, outputs[0].device, presence, tuple(inputs[tensors:]))
        if key not in _compiled:  # a dictionary, because torch.compile can trace a look-up but not the compilation
            _compiled[key] = _compile(*key)
        run = _compiled[key]
        run(*[_as_rank(view, len(shape)) for view, shape in zip(views, shapes, strict=True) if view is not None])

    return fill


_compiled: dict[tuple[Any, ...], Callable[..., None]] = {}
_graphs: dict[str, Callable[..., Any]] = {}
_prepare: dict[str, Callable[..., Sequence[Any]]] = {}
for _module_name in [module.name for module in pkgutil.iter_modules(__path__)]:
    _module = importlib.import_module(f".{_module_name}", __name__)
    for _name in _module_name.split("__"):
        _graphs[_name] = _module.graph
        if hasattr(_module, "prepare"):
            _prepare[_name] = _module.prepare
        globals()[_name] = functional(_name, _fill(_name))  # replaces the module of the same name
