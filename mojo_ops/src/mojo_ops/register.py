"""Registration with PyTorch: the ops `torch.ops.mojo_ops.<op>` (the engine) and `torch.ops.mojo_aot.<op>` (without it).

Both have the same schemas and the same fake kernels.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Callable
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor

from ._autocast import POLICIES, Policy, add_autocast
from ._derivatives import argument_names, refuse_transforms, without_derivatives
from ._formulas import Formula, add_formula
from .infer import inferred
from .kernel import Kernel

WITH_MAX = importlib.util.find_spec("max") is not None


def launch(kernel: Kernel, *arguments: Any) -> None:
    """Runs a kernel on a GPU: `gpu.launch`, imported with MAX's Python packages at the first call."""
    from . import gpu

    gpu.launch(kernel, *arguments)


__all__ = ["WITH_MAX", "define", "define_in_place", "launch", "no_gradient", "register_autograd"]

_libraries = {namespace: torch.library.Library(namespace, "DEF") for namespace in ("mojo_ops", "mojo_aot")}
_outputs = torch.library.Library("mojo_outputs", "DEF")
_RETURN_NAME = re.compile(r"(?<=Tensor) \w+")
_ARGUMENT_WRITTEN = re.compile(r"(?<=Tensor)\([a-z]!\)")


def _register(overload: str, schema: str, gpu: Callable[..., Any]) -> None:
    """Registers one overload; `gpu` is its kernel on a GPU, after the function that `inferred` makes of it."""
    for namespace, library in _libraries.items():
        library.define(overload + schema, tags=(torch.Tag.pt2_compliant_tag,))
        op, _, name = overload.partition(".")
        defined = getattr(getattr(getattr(torch.ops, namespace), op), name or "default")
        with_formula = not name and not defined._schema.is_mutable
        fake = inferred(defined, fake=True)
        checked = fake if with_formula else without_derivatives(defined, fake)
        torch.library.register_fake(f"{namespace}::{overload}", checked, lib=library)
        if not with_formula:
            refuse_transforms(library, defined)
        library.impl(overload, functools.partial(_without_kernel, namespace, op), "CompositeExplicitAutograd")
        if namespace == "mojo_ops" and WITH_MAX:
            kernel = functools.partial(gpu, inferred(defined))
            library.impl(overload, without_derivatives(defined, kernel), "CUDA")


def _register_outputs(op: str, schema: str) -> None:
    """Registers `torch.ops.mojo_outputs.<op>`, which is the op up to its kernel: see `compiled_later`.

    An op, so that torch.compile keeps the check of a call for its run.
    """
    overload = getattr(torch.ops.mojo_ops, op).default
    written = [i for i, argument in enumerate(overload._schema.arguments) if argument.is_write]
    returns = "Tensor" if len(written) == 1 else f"({', '.join(['Tensor'] * len(written))})"
    _outputs.define(f"{op}{schema}" if not written else f"{op}{_ARGUMENT_WRITTEN.sub('', schema)[:-2]}{returns}")

    def kernel(check: Callable[..., Any], *inputs: Any) -> Any:
        outputs = check(*inputs)
        if not written:
            return outputs
        new = [torch.empty_like(inputs[i], memory_format=torch.contiguous_format) for i in written]
        return new[0] if len(new) == 1 else tuple(new)

    _outputs.impl(op, functools.partial(kernel, inferred(overload)), "CompositeExplicitAutograd")
    fake = functools.partial(kernel, inferred(overload, fake=True))
    torch.library.register_fake(f"{_outputs.ns}::{op}", fake, lib=_outputs)


def _without_kernel(namespace: str, op: str, *args: Any, **named: Any) -> Any:
    """Says what to do where a namespace has no kernel, instead of the dispatcher's list of its keys."""
    tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
    if not tensors:  # the dispatcher has no key to go by
        first = argument_names(getattr(getattr(torch.ops, namespace), op).default)[0]
        raise RuntimeError(f"{op}: {first} is None, expected a tensor")
    if namespace == "mojo_aot" and "mojo_ops.aot" not in sys.modules:
        reason = "is not loaded; run: import mojo_ops.aot"
    elif namespace == "mojo_ops" and not WITH_MAX:
        reason = f"needs MAX: pip install mojo_ops[max]; torch.ops.mojo_aot.{op} runs without it, on the CPU"
    elif not torch._C._dispatch_has_kernel_for_dispatch_key(f"{namespace}::{op}", "CPU"):
        reason = "is not built for the CPU; run: nox -s build_mojo"
    else:
        reason = f"has no kernel for {' and '.join(sorted({f'{t.layout} tensors on {t.device}' for t in tensors}))}"
    raise NotImplementedError(f"torch.ops.{namespace}.{op} {reason}")


def _raise_version(tensor: Tensor) -> None:
    """Tells autograd that the tensor is written: copying it onto itself moves nothing, but passes the dispatcher as
    every write in place does."""
    tensor.copy_(tensor)


def _out_arguments(schema: str) -> list[str]:
    """The names of the outputs in the schema of a functional op; the only output of an op has none and is `out`."""
    returns = torch._C.parse_schema(f"mojo_ops::op{schema}").returns
    return [value.name or "out" for value in returns]


def define(kernel: Kernel, schema: str, run: Callable[..., None], *, differentiable: bool = False) -> Any:
    """Registers an op and its out variant: schemas and fake kernels in both namespaces, CUDA in `mojo_ops`.

    The kernels of the CPU come with the libraries, see `engine` and `aot`, and so do the checks, see `infer`.

    Args:
        kernel: description of its graph.
        schema: functional form without the name, `(Tensor a, Tensor b) -> Tensor`. Several outputs have names,
            `(Tensor x, int k) -> (Tensor values, Tensor indices)`: those of the arguments of the overload `out`.
        run: `(outputs, *inputs)`: writes the outputs. An argument with a default in the schema needs it here too:
            PyTorch leaves out what equals it.
        differentiable: `register_autograd` follows; the overload `no_grad` is the op without it, see `_direct`.

    Returns:
        The functional overload of `mojo_ops`, callable with tensors.
    """
    names = _out_arguments(schema)
    arguments, _, returns = schema.rpartition(" -> ")
    functional_schema = f"{arguments} -> {_RETURN_NAME.sub('', returns)}"
    written = ", ".join(f"Tensor({letter}!) {name}" for letter, name in zip(ascii_lowercase, names, strict=False))
    out_schema = f"{arguments[:-1]}, *, {written}) -> ()"

    def functional(check: Callable[..., Any], *inputs: Any) -> Any:
        outputs = check(*inputs)
        run(outputs, *inputs)
        return outputs

    def out(check: Callable[..., Any], *inputs: Any, **outputs: Tensor) -> None:
        check(*inputs, **outputs)
        for tensor in outputs.values():
            _raise_version(tensor)
        ready = tuple(outputs[name] for name in names)
        run(ready if len(ready) > 1 else ready[0], *inputs)

    _register(kernel.name, functional_schema, functional)
    _register(f"{kernel.name}.out", out_schema, out)
    if differentiable:
        _register(f"{kernel.name}.no_grad", functional_schema, functional)
    _register_outputs(kernel.name, functional_schema)
    return getattr(torch.ops.mojo_ops, kernel.name).default


def define_in_place(kernel: Kernel, schema: str, run: Callable[..., None]) -> Any:
    """Registers an op that writes its arguments and returns nothing, in both namespaces.

    Args:
        kernel: description of its graph, with the written arguments as outputs.
        schema: without the name, `(Tensor(a!) x, Tensor weight) -> ()`.
        run: `(*inputs)`: writes.

    Returns:
        The overload of `mojo_ops`, callable with tensors.
    """
    arguments = torch._C.parse_schema(f"mojo_ops::{kernel.name}{schema}").arguments
    written = [i for i, argument in enumerate(arguments) if argument.is_write]

    def in_place(check: Callable[..., Any], *inputs: Any) -> None:
        check(*inputs)
        for i in written:
            _raise_version(inputs[i])
        run(*inputs)

    _register(kernel.name, schema, in_place)
    _register_outputs(kernel.name, schema)
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
