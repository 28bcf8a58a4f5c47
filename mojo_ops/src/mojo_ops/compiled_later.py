"""Code shared by the two routes that use MAX's own PyTorch bridge, `max.experimental.torch`.

The bridge takes only tensors, writes into existing outputs, and supports neither empty tensors nor gradients. A route
provides a function that fills existing outputs; this module adds the signature and argument checks of the op. An op
that writes its arguments runs on temporaries, which are then copied back. If a kernel needs its arguments in another
shape, the op's module defines `prepared(*inputs) -> inputs`.
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
    """The names of the arguments of an op that are not tensors; they come last."""
    return [argument.name for argument in schema_arguments(name) if not _is_tensor(argument)]


def operands(name: str) -> Kernel:
    """The tensor arguments of an op: OPERANDS if `composed` in its module calls the kernel as one part of the op."""
    return getattr(op_module(name), "OPERANDS", None) or artifacts.kernel_of(name)


def kernel_inputs(name: str) -> list[tuple[str, Shape]]:
    """Element type and shape of each tensor argument. The type is empty if it is that of the call."""
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
    """Makes the callable of an op.

    Args:
        name: name of the op.
        fill: `(outputs, inputs)`, writes the outputs. All tensors are contiguous and not empty; a missing optional
            tensor is None.

    Returns:
        A function with the signature and the exceptions of `mojo_ops.<name>`.
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
