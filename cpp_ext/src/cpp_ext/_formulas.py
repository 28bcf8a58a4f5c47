"""Connects gradient formulas to autograd, torch.func and forward-mode AD.

torch.library.register_autograd is not used, because it supports neither torch.func nor forward-mode AD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import FunctionalizeInterpreter, retrieve_current_functorch_interpreter
from torch._subclasses.functional_tensor import FunctorchFunctionalizeAPI
from torch.autograd import forward_ad

from ._autocast import active
from ._autograd_kernel import add_overload
from ._derivatives import NO_TANGENT, TRANSFORMS, argument_names, refuse_gradients, refuse_tangents
from ._direct import differentiable_call


@dataclass(frozen=True)
class Formula:
    """The gradient of an op.

    backward: `(ops, ctx, *gradients of the outputs) -> gradients of the arguments`; `ops` is a `Differentiable`.
    save: `(ctx, inputs, output)`, saves what `backward` needs.
    no_gradient: completes "<argument> requires grad, but ..." for an op that raises at the call; empty for others.
    """

    backward: Callable[..., Any]
    save: Callable[..., None]
    no_gradient: str = ""


class Differentiable:
    """The ops of a namespace for use in gradient formulas, ``ops.gelu_tanh_backward(grad, x)``.

    A call is recorded if the formula itself is differentiated (``create_graph=True``), and costs nothing extra if not.
    """

    def __init__(self, namespace: str) -> None:
        self._ops = getattr(torch.ops, namespace)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = differentiable_call(getattr(self._ops, name))
        setattr(self, name, call)  # caches the look-up
        return call


def _function(namespace: str, op: str, formula: Formula) -> type[torch.autograd.Function]:
    """The op and its formula as a torch.autograd.Function."""
    overload, ops = getattr(getattr(torch.ops, namespace), op).default, Differentiable(namespace)
    names = argument_names(overload)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return overload(*args)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if formula.no_gradient and any(ctx.needs_input_grad):
                refuse_gradients(op, zip(names, inputs, strict=True), formula.no_gradient)
            formula.save(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return formula.backward(ops, ctx, *gradients)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            raise RuntimeError(f"{op}: {NO_TANGENT}")

        @staticmethod
        def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
            """Calls the op for each element of the batch."""
            if info.batch_size == 0:
                raise RuntimeError(f"{op}: vmap over a dimension of size 0 is not supported")
            calls = [
                overload(*(a if dim is None else a.select(dim, i) for a, dim in zip(args, in_dims, strict=True)))
                for i in range(info.batch_size)
            ]
            if isinstance(calls[0], Tensor):
                return torch.stack(calls), 0
            return tuple(map(torch.stack, zip(*calls, strict=True))), (0,) * len(calls[0])

    return Function


def _mark_constant(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Makes the outputs constants, as PyTorch's own ops do under no_grad."""
    ctx.mark_non_differentiable(*((output,) if isinstance(output, Tensor) else output))


def add_formula(library: torch.library.Library, op: str, formula: Formula) -> None:
    """Adds the formula to an op in the library's namespace."""
    namespace, no_gradient = library.ns, formula.no_gradient
    function = _function(namespace, op, formula)
    overload = getattr(getattr(torch.ops, namespace), op).default
    names = argument_names(overload)
    # Under no_grad nothing is recorded, but a tangent must still raise; detaching the arguments would lose it.
    constant = _function(namespace, op, Formula(lambda *_: (None,) * len(names), _mark_constant))
    # Function.apply also looks for transforms of torch.func, which `transform` handles: 7 us of the 20 us of `add`.
    record = super(torch.autograd.Function, function).apply  # type: ignore[misc]
    defaults = [a.default_value if a.has_default_value() else None for a in overload._schema.arguments]

    def autograd(keyset: torch._C.DispatchKeySet, *args: Any) -> Any:
        if forward_ad._current_level >= 0:
            refuse_tangents(op, zip(names, args, strict=False))
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            if no_gradient:
                refuse_gradients(op, zip(names, args, strict=False), no_gradient)
            return record(*args, *defaults[len(args) :])
        with torch._C._AutoDispatchBelowAutograd():
            return overload.redispatch(keyset & torch._C._after_autograd_keyset, *args)

    def transform(*args: Any) -> Any:
        interpreter = retrieve_current_functorch_interpreter()
        if isinstance(interpreter, FunctionalizeInterpreter):  # it has no rule for autograd.Function
            functional = FunctorchFunctionalizeAPI(interpreter)
            inputs = functional.unwrap_tensors(args)
            with functional.redispatch_to_next():
                return functional.wrap_tensors(overload(*inputs))
        recorded = function if torch.is_grad_enabled() else constant
        return recorded.apply(*active(op, args), *defaults[len(args) :])

    library.impl(op, autograd, "Autograd", with_keyset=True)
    library.impl(op, transform, TRANSFORMS)
    add_overload(library, overload, autograd)
