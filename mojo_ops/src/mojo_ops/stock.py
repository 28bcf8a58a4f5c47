"""The same Mojo kernels the way MAX's documentation shows it, `CustomOpLibrary` (route mojo_stock).

It compiles at the first call of every new combination of shapes and dtypes (tens of seconds), and the result passes
through a temporary that is copied into the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.experimental.torch import CustomOpLibrary
from torch import Tensor

from . import artifacts
from .compiled_later import functional

_library = CustomOpLibrary(artifacts.ARTIFACTS / artifacts.LIBRARY)


def _fill(name: str) -> Callable[[Sequence[Tensor], Sequence[Any]], None]:
    kernel = getattr(_library, f"mojo_ops_{name}_dps")  # out here, where torch.compile does not trace

    def fill(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
        # Its signature has tensors only; a float32 scalar of the kernel arrives as a tensor without dimensions.
        kernel(*outputs, *[v if isinstance(v, Tensor) else torch.tensor(v, dtype=torch.float32) for v in inputs])

    return fill


for _name in artifacts.op_names():
    globals()[_name] = functional(_name, _fill(_name))
