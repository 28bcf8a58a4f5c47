"""The same Mojo kernels the way MAX's documentation shows it, `CustomOpLibrary` (route mojo_stock).

It compiles at the first call of every new combination of shapes and dtypes (tens of seconds), and the result passes
through a temporary that is copied into the output.
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
    run = getattr(_library, f"mojo_ops_{name}_dps")  # out here, where torch.compile does not trace
    module = op_module(name)
    kernel = artifacts.kernel_of(name)
    composed = getattr(module, "composed", None)
    known = (
        list(zip(kernel.tensor_dtypes("")[len(kernel.outputs) :], kernel.inputs, strict=True))
        if composed
        else kernel_inputs(name)
    )
    scalar_types = [getattr(torch, dtype) for dtype in kernel.scalar_types]

    def fill(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
        lead = (*outputs, *inputs)[kernel.lead]
        given = []
        for value, (own, shape) in zip(inputs, known, strict=False):
            if value is None:  # the kernel sees a tensor of size zero
                value = lead.new_empty((0,) * len(shape), dtype=getattr(torch, own) if own else None)
            given.append(value)
        # The signature has tensors only; a scalar of the kernel arrives as a tensor without dimensions.
        for value, dtype in zip(inputs[len(known) :], scalar_types, strict=True):
            given.append(torch.tensor(value, dtype=dtype))
        run(*outputs, *given)

    return functools.partial(composed, fill) if composed else fill


def __getattr__(name: str) -> Any:
    not_built = "; the op is not built, run: nox -s build_mojo" if name in artifacts.op_names() else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{not_built}")


for _name in artifacts.read_record(artifacts.ARTIFACTS)["ops"]:
    globals()[_name] = functional(_name, _fill(_name))
