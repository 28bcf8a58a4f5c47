"""What the two routes share that go through MAX's own PyTorch bridge, `max.experimental.torch`.

That bridge writes into tensors given to it, takes tensors only, and knows neither zero sizes nor gradients. A route
gives the call that fills ready outputs; here it gets the signature and the argument checks of the op. An op that
writes its arguments runs as a functional one: into temporaries, which are then copied back. An op whose kernel takes
arguments in another shape has `prepared(*inputs) -> inputs` in its module.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import artifacts
from ._derivatives import refuse_derivatives
from .kernel import Kernel, Shape

Fill = Callable[[Sequence[Tensor], Sequence[Any]], None]

_PYTHON_TYPES = {"Tensor": Tensor, "float": float, "int": int, "bool": bool}


def op_module(name: str) -> ModuleType:
    """The module of an op, with its `Kernel` and its typed function."""
    return importlib.import_module(f"mojo_ops.ops.{artifacts.module_of(name)}")


def schema_arguments(name: str) -> list[Any]:
    """The arguments in the schema of an op."""
    return list(getattr(torch.ops.mojo_ops, name).default._schema.arguments)


def scalar_names(name: str) -> list[str]:
    """The arguments of an op that are no tensors; they come last."""
    return [argument.name for argument in schema_arguments(name) if not _is_tensor(argument)]


def operands(name: str) -> Kernel:
    """The tensors of an op: OPERANDS where its `Kernel` is a part of it, which `composed` in its module calls."""
    return getattr(op_module(name), "OPERANDS", None) or artifacts.kernel_of(name)


def kernel_inputs(name: str) -> list[tuple[str, Shape]]:
    """Element type, empty if it is that of the call, and shape of each tensor argument, as `operands` has them."""
    kernel = operands(name)
    operand_types = list(zip(kernel.tensor_dtypes(""), (*kernel.outputs, *kernel.inputs), strict=True))
    output_types, input_types = iter(operand_types[: len(kernel.outputs)]), iter(operand_types[len(kernel.outputs) :])
    return [next(output_types if a.is_write else input_types) for a in schema_arguments(name) if _is_tensor(a)]


def _is_tensor(argument: Any) -> bool:
    return str(argument.type) in ("Tensor", "Optional[Tensor]")


def _check_type(op: str, argument: Any, value: Any) -> None:
    optional = isinstance(argument.type, torch.OptionalType)
    kind = str(argument.type.getElementType() if optional else argument.type)
    if (value is None and optional) or isinstance(value, _PYTHON_TYPES[kind]):
        return
    if kind == "float" and isinstance(value, int):
        return
    raise TypeError(f"{op}: {argument.name} has type {type(value).__name__}, expected {_PYTHON_TYPES[kind].__name__}")


def functional(name: str, fill: Fill) -> Callable[..., Any]:
    """The form of an op that is called.

    Args:
        name: of the op.
        fill: `(outputs, inputs)`: writes the outputs, which are contiguous and not empty, as are the input tensors.
            An optional tensor is None where it is not given.

    Returns:
        A function with the signature of `mojo_ops.<name>`, which raises what that raises.
    """
    module = op_module(name)
    check_and_allocate = getattr(torch.ops.mojo_outputs, name).default
    arguments = schema_arguments(name)
    names = [argument.name for argument in arguments]
    written_positions = [i for i, argument in enumerate(arguments) if argument.is_write]
    defaults = {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}

    @functools.wraps(getattr(module, name))
    def call(*inputs: Any, **named: Any) -> Any:
        named = {**{key: defaults[key] for key in names[len(inputs) :] if key in defaults}, **named}
        inputs += tuple(named.pop(key) for key in names[len(inputs) :] if key in named)
        if named or len(inputs) != len(names):
            raise TypeError(f"{name}: expected the arguments {', '.join(names)}")
        for argument, value in zip(arguments, inputs, strict=True):
            _check_type(name, argument, value)
        refuse_derivatives(name, zip(names, inputs, strict=True), "this route has no gradient")
        outputs = check_and_allocate(*inputs)
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        if any(output.numel() for output in results):
            if prepared := getattr(module, "prepared", None):
                inputs = prepared(*inputs)
            fill(results, [v.detach().contiguous() if isinstance(v, Tensor) else v for v in inputs])
        if not written_positions:
            return outputs
        for i, output in zip(written_positions, results, strict=True):
            inputs[i].copy_(output)
        return None

    return call
