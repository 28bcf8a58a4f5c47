"""What the two routes share that go through MAX's own PyTorch bridge, `max.experimental.torch`.

That bridge writes into tensors given to it, takes tensors only, and knows neither zero sizes nor gradients. A route
gives the call that fills ready outputs; here it gets the signature and the argument checks of the op.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

Fill = Callable[[Sequence[Tensor], Sequence[Any]], None]


def op_module(name: str) -> ModuleType:
    """The module of an op, with its KERNEL, `empty` and typed function."""
    return importlib.import_module(f"mojo_ops.ops.{name}")


def functional(name: str, fill: Fill) -> Callable[..., Any]:
    """The functional form of an op.

    Args:
        name: of the op.
        fill: `(outputs, inputs)`: writes the outputs, which are contiguous and not empty, as are the input tensors.

    Returns:
        A function with the signature of `mojo_ops.<name>`, which raises what that raises.
    """
    module = op_module(name)
    arguments = getattr(torch.ops.mojo_ops, name).default._schema.arguments
    names = [argument.name for argument in arguments]
    types = [Tensor if isinstance(argument.type, torch.TensorType) else float for argument in arguments]

    @functools.wraps(getattr(module, name))
    def call(*inputs: Any, **named: Any) -> Any:
        inputs += tuple(named.pop(key) for key in names[len(inputs) :] if key in named)
        if named or len(inputs) != len(names):
            raise TypeError(f"{name}: expected the arguments {', '.join(names)}")
        for key, value, wanted in zip(names, inputs, types, strict=True):
            if not isinstance(value, wanted):
                raise TypeError(f"{name}: {key} has type {type(value).__name__}, expected {wanted.__name__}")
        outputs = module.empty(*inputs)
        ready = outputs if isinstance(outputs, tuple) else (outputs,)
        if any(output.numel() for output in ready):
            fill(ready, [v.detach().contiguous() if isinstance(v, Tensor) else v for v in inputs])
        return outputs

    return call
