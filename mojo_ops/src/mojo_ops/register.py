"""Registration with PyTorch: the ops `torch.ops.mojo_ops.<op>` (the engine) and `torch.ops.mojo_aot.<op>` (without it).

Both have the same schemas and the same fake kernels. The kernels of `mojo_aot` come with its library, see `aot`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .kernel import Kernel

WITH_MAX = importlib.util.find_spec("max") is not None


def _without_max(kernel: Kernel, *_: Any) -> None:
    """Raises RuntimeError: there is nothing to run the compiled graphs."""
    raise RuntimeError(
        f"{kernel.name}: torch.ops.mojo_ops needs MAX, which is not installed (pip install modular); "
        f"torch.ops.mojo_aot.{kernel.name} works without it"
    )


launch: Callable[..., None] = _without_max
if WITH_MAX:
    from .bridge import launch

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
    """Registers an op and its out variant: schema and fake kernel in both namespaces, CPU and CUDA in `mojo_ops`.

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
        for key in ("CPU", "CUDA"):
            _libraries["mojo_ops"].impl(overload, real, key)
    return getattr(torch.ops.mojo_ops, kernel.name).default
