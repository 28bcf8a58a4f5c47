"""Calls the same Mojo kernels through `CustomOpLibrary`, as MAX's documentation shows it (route mojo_stock).

The first call of every new combination of shapes and dtypes compiles for tens of seconds. Results are written to a
temporary and then copied into the output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.experimental.torch import CustomOpLibrary
from torch import Tensor

from . import artifacts
from .compiled_later import functional, kernel_inputs, op_module

_library = CustomOpLibrary(artifacts.ARTIFACTS / artifacts.LIBRARY)


def _fill(name: str) -> Callable[[Sequence[Tensor], Sequence[Any]], None]:
    run = getattr(_library, f"mojo_ops_{name}_dps")  # looked up here, because torch.compile does not trace this
    module = op_module(name)
    kernel = artifacts.kernel_of(name)
    composed = getattr(module, "composed", None)
    operand_types = (
        list(zip(kernel.tensor_dtypes("")[len(kernel.outputs) :], kernel.inputs, strict=True))
        if composed
        else kernel_inputs(name)
    )
    scalar_types = [getattr(torch, dtype) for dtype in kernel.scalar_types]

    def fill(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
        lead = (*outputs, *inputs)[kernel.lead]
        tensors = []
        for value, (fixed_dtype, shape) in zip(inputs, operand_types, strict=False):
            if value is None:  # the kernel gets a tensor of size zero
                value = lead.new_empty((0,) * len(shape), dtype=getattr(torch, fixed_dtype) if fixed_dtype else None)
            tensors.append(value)
        # The signature has only tensors, so a scalar is passed as a tensor without dimensions.
        for value, dtype in zip(inputs[len(operand_types) :], scalar_types, strict=True):
            tensors.append(torch.tensor(value, dtype=dtype))
        run(*outputs, *tensors)

    return functools.partial(composed, fill) if composed else fill


def __getattr__(name: str) -> Any:
    not_built = "; the op is not built, run: nox -s build_mojo" if name in artifacts.op_names() else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{not_built}")


for _name in artifacts.read_record(artifacts.ARTIFACTS)["ops"]:
    globals()[_name] = functional(_name, _fill(_name))
