"""Registration with PyTorch: the ops `torch.ops.mojo_ops.<op>` (the engine) and `torch.ops.mojo_aot.<op>` (without it).

Both have the same schemas and the same fake kernels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .kernel import Kernel

WITH_MAX = importlib.util.find_spec("max") is not None


def launch(kernel: Kernel, *arguments: Any) -> None:
    """Runs a kernel on a GPU: `gpu.launch`, imported with MAX's Python packages at the first call."""
    from . import gpu

    gpu.launch(kernel, *arguments)


__all__ = ["WITH_MAX", "define", "launch"]

_libraries = {namespace: torch.library.Library(namespace, "DEF") for namespace in ("mojo_ops", "mojo_aot")}


def define(
    kernel: Kernel,
    schema: str,
    out_schema: str,
    empty: Callable[..., Any],
    check_out: Callable[..., Any],
    run: Callable[..., None],
) -> Any:
    """Registers an op and its out variant: schema and fake kernel in both namespaces, CUDA in `mojo_ops`.

    The CPU's kernels come with the libraries, see `engine` and `aot`.

    Args:
        kernel: description of its graph.
        schema: functional form without the name, `(Tensor a, Tensor b) -> Tensor`.
        out_schema: the same for the overload `out`.
        empty: `(*inputs) -> outputs`: checks the inputs and allocates; on its own it is the fake kernel.
        check_out: `(*inputs, **outputs) -> outputs`: checks everything and gives the outputs as `empty` does.
        run: `(outputs, *inputs)`: writes the outputs.

    Returns:
        The functional overload of `mojo_ops`, callable with tensors.
    """

    def functional(*inputs: Any) -> Any:
        outputs = empty(*inputs)
        run(outputs, *inputs)
        return outputs

    def out(*inputs: Any, **outputs: Tensor) -> None:
        run(check_out(*inputs, **outputs), *inputs)

    def fake_out(*inputs: Any, **outputs: Tensor) -> None:
        check_out(*inputs, **outputs)

    for overload, text, real, fake in (
        (kernel.name, schema, functional, empty),
        (f"{kernel.name}.out", out_schema, out, fake_out),
    ):
        for namespace, library in _libraries.items():
            library.define(overload + text, tags=(torch.Tag.pt2_compliant_tag,))
            torch.library.register_fake(f"{namespace}::{overload}", fake, lib=library)
        _libraries["mojo_ops"].impl(overload, real, "CUDA")
    return getattr(torch.ops.mojo_ops, kernel.name).default
