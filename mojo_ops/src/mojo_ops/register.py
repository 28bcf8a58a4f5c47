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
    """Runs a kernel on a GPU with `gpu.launch`, which is imported, with MAX's Python packages, at the first call."""
    from . import gpu

    gpu.launch(kernel, *arguments)


__all__ = ["WITH_MAX", "define", "define_in_place", "launch", "no_gradient", "register_autograd"]

_libraries = {namespace: torch.library.Library(namespace, "DEF") for namespace in ("mojo_ops", "mojo_aot")}
_outputs = torch.library.Library("mojo_outputs", "DEF")
_RETURN_NAME = re.compile(r"(?<=Tensor) \w+")
_ARGUMENT_WRITTEN = re.compile(r"(?<=Tensor)\([a-z]!\)")


def _register(overload: str, schema: str, gpu: Callable[..., Any]) -> None:
    """Registers one overload. `gpu` is its GPU kernel, which takes the result of `inferred` as its first argument."""
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
    """Registers `torch.ops.mojo_outputs.<op>`, which checks arguments and allocates outputs for `compiled_later`.

    It is an op so that torch.compile keeps the check in the compiled code.
    """
    overload = getattr(torch.ops.mojo_ops, op).default
    written_positions = [i for i, argument in enumerate(overload._schema.arguments) if argument.is_write]
    returns = "Tensor" if len(written_positions) == 1 else f"({', '.join(['Tensor'] * len(written_positions))})"
    _outputs.define(
        f"{op}{schema}" if not written_positions else f"{op}{_ARGUMENT_WRITTEN.sub('', schema)[:-2]}{returns}"
    )

    def kernel(check: Callable[..., Any], *inputs: Any) -> Any:
        outputs = check(*inputs)
        if not written_positions:
            return outputs
        new_values = [torch.empty_like(inputs[i], memory_format=torch.contiguous_format) for i in written_positions]
        return new_values[0] if len(new_values) == 1 else tuple(new_values)

    _outputs.impl(op, functools.partial(kernel, inferred(overload)), "CompositeExplicitAutograd")
    fake = functools.partial(kernel, inferred(overload, fake=True))
    torch.library.register_fake(f"{_outputs.ns}::{op}", fake, lib=_outputs)


def _without_kernel(namespace: str, op: str, *args: Any, **named: Any) -> Any:
    """Raises an error that says what to import, instead of the dispatcher's list of keys, if an op has no kernel."""
    tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
    if not tensors:  # without a tensor, the dispatcher has no device key
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
    """Increments a tensor's version for autograd. Copying it onto itself moves no data but counts as a write."""
    tensor.copy_(tensor)


def _out_arguments(schema: str) -> list[str]:
    """The names of the outputs in the schema of a functional op; a single output, which has no name there, is `out`."""
    returns = torch._C.parse_schema(f"mojo_ops::op{schema}").returns
    return [value.name or "out" for value in returns]


def define(kernel: Kernel, schema: str, run: Callable[..., None], *, differentiable: bool = False) -> Any:
    """Registers an op and its out variant: schemas and fake kernels in both namespaces, CUDA kernels in `mojo_ops`.

    The CPU kernels and argument checks are registered when a library is loaded; see `engine`, `aot` and `infer`.

    Args:
        kernel: description of its graph.
        schema: functional form without the name, `(Tensor a, Tensor b) -> Tensor`. Several outputs have names,
            `(Tensor x, int k) -> (Tensor values, Tensor indices)`, which become arguments of the overload `out`.
        run: `(outputs, *inputs)`, writes the outputs. It needs the defaults of the schema, because PyTorch does not
            pass an argument that equals its default.
        differentiable: whether `register_autograd` is called afterwards; the overload `no_grad` then has no gradient.

    Returns:
        The functional overload of `mojo_ops`, callable with tensors.
    """
    names = _out_arguments(schema)
    arguments, _, returns = schema.rpartition(" -> ")
    functional_schema = f"{arguments} -> {_RETURN_NAME.sub('', returns)}"
    out_arguments = ", ".join(f"Tensor({letter}!) {name}" for letter, name in zip(ascii_lowercase, names, strict=False))
    out_schema = f"{arguments[:-1]}, *, {out_arguments}) -> ()"

    def functional(check: Callable[..., Any], *inputs: Any) -> Any:
        outputs = check(*inputs)
        run(outputs, *inputs)
        return outputs

    def out(check: Callable[..., Any], *inputs: Any, **outputs: Tensor) -> None:
        check(*inputs, **outputs)
        for tensor in outputs.values():
            _raise_version(tensor)
        results = tuple(outputs[name] for name in names)
        run(results if len(results) > 1 else results[0], *inputs)

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
        schema: the schema without the name, `(Tensor(a!) x, Tensor weight) -> ()`.
        run: `(*inputs)`, writes into the arguments.

    Returns:
        The overload of `mojo_ops`, callable with tensors.
    """
    arguments = torch._C.parse_schema(f"mojo_ops::{kernel.name}{schema}").arguments
    written_positions = [i for i, argument in enumerate(arguments) if argument.is_write]

    def in_place(check: Callable[..., Any], *inputs: Any) -> None:
        check(*inputs)
        for i in written_positions:
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
        name: name of the op, which was defined as `differentiable`.
        backward: `(ops, ctx, *grads)`, returns the gradients of all arguments, or None for an argument without one.
            `ops` contains the ops of the namespace that was called, see `Differentiable`.
        setup_context: `(ctx, inputs, output)`, saves what `backward` needs, as for `torch.autograd.Function`.
        autocast: the autocast policy for the arguments; None if autocast does not change them.
    """
    _add_formula(name, Formula(backward, setup_context or _save_nothing), autocast)


def no_gradient(name: str, reason: str, *, autocast: Policy | None = None) -> None:
    """Makes an op that was defined as `differentiable` raise an error if a call needs a gradient.

    A gradient op, `<op>_backward`, raises only when its result is differentiated, because `create_graph=True` records
    a derivative for everything in the graph, although not all of them are used.

    Args:
        name: name of the op.
        reason: completes "<name> ...", as in "is for inference and has no gradient".
        autocast: as in `register_autograd`.
    """

    def refuse(ops: Any, ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{name}: {reason}")

    at_the_call = "" if name.endswith("_backward") else f"{name} {reason}"
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
