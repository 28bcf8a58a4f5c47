"""Typed functions that call their operator without a Python frame.

Calling an ``OpOverload`` runs a Python method that only forwards its arguments, which takes 0.23 us. A typed function
around it takes 0.06 us more. Without both, ``add`` of 16 elements takes 1.15 times as long as ``torch.add``; with
them, 1.4 times.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.autograd import forward_ad

from ._autograd_kernel import compiled

Function = TypeVar("Function", bound=Callable[..., Any])


class Direct(functools.partial):
    """A partial that calls the operator directly in C. Dynamo reads ``func`` and traces the typed function."""

    __wrapped__: Callable[..., Any]
    __name__: str

    @property
    def func(self) -> Callable[..., Any]:
        """The original typed function."""
        return self.__wrapped__

    def __repr__(self) -> str:
        return f"<op function {self.__module__}.{self.__name__}>"

    def __reduce__(self) -> str:
        """Pickles by name, as for functions."""
        return self.__name__


def direct(overload: Any) -> Callable[[Function], Function]:
    """Replaces a typed function that only calls `overload` with a callable of its name, signature and documentation."""

    def replace(function: Function) -> Function:
        return functools.update_wrapper(Direct(overload._op), function)  # type: ignore[return-value]

    return replace


def without_gradient(overload: Any, plain: Any) -> Callable[..., Any]:
    """A function that calls `plain` if no argument needs a derivative, else `overload`.

    Without a compiled kernel on the Autograd keys, every call runs the formula, a Python function, before the kernel.
    The overload ``no_grad`` of an op has the same kernel without a formula. Choosing between them takes 0.6 us.

    Args:
        overload: the overload with a gradient formula.
        plain: the overload without one. Calls with subclasses of Tensor, modes of ``__torch_function__``, dual tensors
            or transforms of torch.func, whose tensors do not show that they need a gradient, use `overload`. So do
            wrong calls, to have its name in the error message.
    """
    formula, kernel = overload._op, plain._op
    enabled, requires_grad = torch.is_grad_enabled, torch._C._any_requires_grad
    modes, transforms = torch._C._is_torch_function_mode_enabled, torch._C._functorch.peek_interpreter_stack
    internal = f"{plain._schema.name}.{plain._overloadname}("

    def call(*args: Any, **named: Any) -> Any:
        if (
            args
            and not named
            and type(args[0]) is torch.Tensor
            and not (enabled() and requires_grad(*args))
            and not modes()
            and transforms() is None
            and forward_ad._current_level < 0
        ):
            try:
                return kernel(*args)
            except (RuntimeError, TypeError, ValueError) as error:
                if internal not in str(error):
                    raise
        return formula(*args, **named)

    return call


def differentiable_call(packet: Any) -> Callable[..., Any]:
    """The fastest way to call an op with a gradient formula: it skips the formula if no derivative is needed."""
    if compiled(packet.default.namespace):
        return packet.default._op
    return without_gradient(packet.default, packet.no_grad)


def differentiable(overload: Any) -> Callable[[Function], Function]:
    """Like `direct`, for an op with a gradient formula, which calls that need no derivative skip."""
    call = differentiable_call(overload._overloadpacket)

    def replace(function: Function) -> Function:
        return functools.update_wrapper(Direct(call), function)  # type: ignore[return-value]

    return replace


def direct_like(packet: Any, function: Callable[..., Any], module: str) -> Callable[..., Any]:
    """Like `direct`, for another registration of an op with the typed `function`; the result belongs to `module`."""
    overload = packet.default

    def call(*args: Any, **kwargs: Any) -> Any:
        return overload(*args, **kwargs)

    functools.update_wrapper(call, inspect.unwrap(function))
    call.__module__ = module
    if "no_grad" in packet.overloads():
        return differentiable(overload)(call)
    return direct(overload)(call)
