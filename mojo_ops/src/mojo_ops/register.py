"""Registration with PyTorch: the ops `torch.ops.mojo_ops.<op>` (the engine) and `torch.ops.mojo_aot.<op>` (without it).

Both have the same schemas and the same fake kernels.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import checks
from ._direct import without_gradient
from .kernel import Kernel

WITH_MAX = importlib.util.find_spec("max") is not None


def launch(kernel: Kernel, *arguments: Any) -> None:
    """Runs a kernel on a GPU: `gpu.launch`, imported with MAX's Python packages at the first call."""
    from . import gpu

    gpu.launch(kernel, *arguments)


__all__ = ["WITH_MAX", "define", "define_in_place", "launch", "no_gradient", "register_autograd"]

_libraries = {namespace: torch.library.Library(namespace, "DEF") for namespace in ("mojo_ops", "mojo_aot")}


def _register(overload: str, schema: str, fake: Callable[..., Any], cuda: Callable[..., Any]) -> None:
    for namespace, library in _libraries.items():
        library.define(overload + schema, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.register_fake(f"{namespace}::{overload}", fake, lib=library)
    _libraries["mojo_ops"].impl(overload, cuda, "CUDA")


def _raise_version(tensor: Tensor) -> None:
    """Tells autograd that the tensor is written: copying it onto itself moves nothing, but passes the dispatcher as
    every write in place does."""
    tensor.copy_(tensor)


def define(
    kernel: Kernel,
    schema: str,
    out_schema: str,
    empty: Callable[..., Any],
    check_out: Callable[..., Any],
    run: Callable[..., None],
    *,
    differentiable: bool = False,
) -> Any:
    """Registers an op and its out variant: schema and fake kernel in both namespaces, CUDA in `mojo_ops`.

    The CPU's kernels come with the libraries, see `engine` and `aot`.

    Args:
        kernel: description of its graph.
        schema: functional form without the name, `(Tensor a, Tensor b) -> Tensor`.
        out_schema: the same for the overload `out`.
        empty: `(*inputs) -> outputs`: checks the inputs and allocates; on its own it is the fake kernel. An argument
            with a default in the schema needs it here too, and below: PyTorch leaves out what equals it.
        check_out: `(*inputs, **outputs) -> outputs`: checks everything and gives the outputs as `empty` does.
        run: `(outputs, *inputs)`: writes the outputs.
        differentiable: `register_autograd` follows; the overload `no_grad` is the op without it, see `_direct`.

    Returns:
        The functional overload of `mojo_ops`, callable with tensors.
    """

    def functional(*inputs: Any) -> Any:
        outputs = empty(*inputs)
        run(outputs, *inputs)
        return outputs

    def out(*inputs: Any, **outputs: Tensor) -> None:
        ready = check_out(*inputs, **outputs)
        for tensor in outputs.values():
            _raise_version(tensor)
        run(ready, *inputs)

    def fake_out(*inputs: Any, **outputs: Tensor) -> None:
        check_out(*inputs, **outputs)

    _register(kernel.name, schema, empty, functional)
    _register(f"{kernel.name}.out", out_schema, fake_out, out)
    if differentiable:
        _register(f"{kernel.name}.no_grad", schema, empty, functional)
    return getattr(torch.ops.mojo_ops, kernel.name).default


def define_in_place(kernel: Kernel, schema: str, check: Callable[..., None], run: Callable[..., None]) -> Any:
    """Registers an op that writes its arguments and returns nothing, in both namespaces.

    Args:
        kernel: description of its graph, with the written arguments as outputs.
        schema: without the name, `(Tensor(a!) x, Tensor weight) -> ()`.
        check: `(*inputs)`: checks them. That the written ones are contiguous and apart from all others is checked here.
        run: `(*inputs)`: writes.

    Returns:
        The overload of `mojo_ops`, callable with tensors.
    """
    arguments = torch._C.parse_schema(f"mojo_ops::{kernel.name}{schema}").arguments
    names = [argument.name for argument in arguments]
    written = [argument.name for argument in arguments if argument.is_write]

    def fake(*inputs: Any) -> None:
        check(*inputs)
        given = dict(zip(names, inputs, strict=False))
        for name in written:
            checks.contiguous(kernel.name, name, given[name])

    def real(*inputs: Any) -> None:
        check(*inputs)
        given = {n: value for n, value in zip(names, inputs, strict=False) if isinstance(value, Tensor)}
        checks.written_in_place(kernel.name, written, given)
        for name in written:
            _raise_version(given[name])
        run(*inputs)

    _register(kernel.name, schema, fake, real)
    return getattr(torch.ops.mojo_ops, kernel.name).default


class _Gradients:
    """The ops of a namespace as gradient formulas call them: `ops.gelu_tanh_backward(grad, x)`."""

    def __init__(self, namespace: str) -> None:
        self._ops = getattr(torch.ops, namespace)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        packet = getattr(self._ops, name)
        call = without_gradient(packet.default, packet.no_grad) if "no_grad" in packet.overloads() else packet.default
        setattr(self, name, call)  # found there from now on
        return call


def register_autograd(
    name: str, backward: Callable[..., Any], setup_context: Callable[..., None] | None = None
) -> None:
    """Registers the gradient formula of an op in both namespaces.

    Args:
        name: of the op, defined as `differentiable`.
        backward: `(ops, ctx, *grads) -> gradients` of all arguments, None for those that have none; `ops` has the ops
            of the namespace that was called. It is differentiated once: PyTorch refuses a second derivative.
        setup_context: `(ctx, inputs, output)`: saves what `backward` needs, as for `torch.autograd.Function`.
    """
    for namespace, library in _libraries.items():
        formula = once_differentiable(functools.partial(backward, _Gradients(namespace)))
        torch.library.register_autograd(f"{namespace}::{name}", formula, setup_context=setup_context, lib=library)


def no_gradient(name: str, why: str) -> None:
    """Makes an op defined as `differentiable` raise RuntimeError when it is differentiated.

    Without a formula PyTorch would only warn and leave the op's part out.

    Args:
        name: of the op.
        why: completes «<name>: », as in «second derivatives are not supported».
    """

    def backward(ops: Any, ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{name}: {why}")

    register_autograd(name, backward)
