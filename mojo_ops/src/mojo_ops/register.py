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

from . import checks
from ._autocast import POLICIES, Policy, add_autocast
from ._derivatives import argument_names, refuse_transforms, without_derivatives
from ._formulas import Formula, add_formula
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
        op, _, name = overload.partition(".")
        defined = getattr(getattr(getattr(torch.ops, namespace), op), name or "default")
        with_formula = not name and not defined._schema.is_mutable
        checked = fake if with_formula else without_derivatives(defined, fake)
        torch.library.register_fake(f"{namespace}::{overload}", checked, lib=library)
        if not with_formula:
            refuse_transforms(library, defined)
        library.impl(overload, functools.partial(_without_kernel, namespace, op), "CompositeExplicitAutograd")
        if namespace == "mojo_ops" and WITH_MAX:
            library.impl(overload, without_derivatives(defined, cuda), "CUDA")


def _without_kernel(namespace: str, op: str, *args: Any, **named: Any) -> Any:
    """Says what to do where a namespace has no kernel, in place of the dispatcher's list of its keys."""
    tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
    if not tensors:  # the dispatcher has no key to go by
        first = argument_names(getattr(getattr(torch.ops, namespace), op).default)[0]
        raise RuntimeError(f"{op}: {first} is None, expected a Tensor")
    loaded = torch._C._dispatch_has_kernel_for_dispatch_key(f"{namespace}::{op}", "CPU")
    if namespace == "mojo_aot" and not loaded:
        reason = "is not loaded; run: import mojo_ops.aot"
    elif namespace == "mojo_ops" and not WITH_MAX:
        reason = f"needs MAX: pip install mojo_ops[max]; torch.ops.mojo_aot.{op} runs without it, on the CPU"
    else:
        reason = f"has no kernel for {' and '.join(sorted({f'{t.layout} tensors on {t.device}' for t in tensors}))}"
    raise NotImplementedError(f"torch.ops.{namespace}.{op} {reason}")


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


def register_autograd(
    name: str,
    backward: Callable[..., Any],
    setup_context: Callable[..., None] | None = None,
    *,
    autocast: Policy | None = None,
) -> None:
    """Registers the gradient formula of an op in both namespaces.

    Args:
        name: of the op, defined as `differentiable`.
        backward: `(ops, ctx, *grads) -> gradients` of all arguments, None for those that have none; `ops` has the ops
            of the namespace that was called, see `Differentiable`.
        setup_context: `(ctx, inputs, output)`: saves what `backward` needs, as for `torch.autograd.Function`.
        autocast: what autocast casts the arguments to; None where it leaves them alone.
    """
    _add_formula(name, Formula(backward, setup_context or _save_nothing), autocast)


def no_gradient(name: str, why: str, *, autocast: Policy | None = None) -> None:
    """Makes an op defined as `differentiable` refuse a call that needs a gradient.

    A gradient op, `<op>_backward`, raises when its result is differentiated instead: `create_graph=True` asks for a
    derivative of everything in the graph, but only some of it is used.

    Args:
        name: of the op.
        why: completes "<name> ...", as in "is for inference and has no gradient".
        autocast: as in `register_autograd`.
    """

    def refuse(ops: Any, ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{name}: {why}")

    at_the_call = "" if name.endswith("_backward") else f"{name} {why}"
    _add_formula(name, Formula(refuse, _save_nothing, at_the_call), autocast)


def _save_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def _add_formula(name: str, formula: Formula, autocast: Policy | None) -> None:
    if autocast:
        POLICIES[name] = autocast
    for namespace, library in _libraries.items():
        add_formula(library, name, formula)
        if autocast:
            add_autocast(namespace, name, library)
