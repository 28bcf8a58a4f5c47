"""Raises errors, which name the argument, if a call needs a derivative that an overload does not have.

Autograd and torch.func do not know that a custom op lacks a formula, and would silently leave the op out of a gradient
or tangent. Compiled entry points check this themselves; this module has the same checks for fake tensors, for entry
points in Python, and for dispatch keys above them.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

TRANSFORMS = "FuncTorchDynamicLayerFrontMode"  # the dispatch key of every call inside a transform of torch.func
WRAPPERS = "PythonTLSSnapshot"  # the key above Autograd of modes and __torch_dispatch__ tensors; not of plain ones
NO_TANGENT = "has no forward-mode derivative; torch.autograd.grad, torch.func.vjp and jacrev have the reverse one"

KNOWN_LAYOUT = (2, 14)  # the newest PyTorch whose tensor layout is known to match the compiled entry points


def base_name(overload: Any) -> str:
    """The name of an overload's op, without the namespace."""
    return overload._schema.name.split("::")[1]


def argument_names(overload: Any) -> list[str]:
    """The names of an overload's arguments, in order."""
    return [argument.name for argument in overload._schema.arguments]


def refuse_gradients(op: str, arguments: Iterable[tuple[str, Any]], reason: str) -> None:
    """Raises RuntimeError if an argument requires grad; `reason` completes "<argument> requires grad, but ..."."""
    for name, value in arguments:
        if isinstance(value, Tensor) and value.requires_grad:
            raise RuntimeError(
                f"{op}: {name} requires grad, but {reason}; detach it or call {op} under torch.no_grad()"
            )


def refuse_tangents(op: str, arguments: Iterable[tuple[str, Any]]) -> None:
    """Raises RuntimeError if an argument is a dual tensor of forward-mode AD."""
    for name, value in arguments:
        if isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None:
            raise RuntimeError(f"{op}: {name} has a tangent, but {op} {NO_TANGENT}")


def refuse_derivatives(op: str, arguments: Iterable[tuple[str, Any]], reason: str) -> None:
    """Raises RuntimeError if a call needs a derivative of either kind, which the called overload does not have."""
    arguments = list(arguments)
    if torch.is_grad_enabled():
        refuse_gradients(op, arguments, reason)
    if forward_ad._current_level >= 0:
        refuse_tangents(op, arguments)


def without_derivatives(overload: Any, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the kernel of an overload without derivatives, so that calls that need one raise RuntimeError."""
    op, names = base_name(overload), argument_names(overload)
    is_mutable = overload._schema.is_mutable
    reason = "writing into an argument has no gradient" if is_mutable else "this overload has no gradient"

    def call(*args: Any, **named: Any) -> Any:
        refuse_derivatives(op, (*zip(names, args, strict=False), *named.items()), reason)
        return kernel(*args, **named)

    return call


def refuse_transforms(library: torch.library.Library, overload: Any) -> None:
    """Makes an overload without derivatives raise an error under transforms of torch.func."""
    name = overload.name().split("::")[1]
    alternative = (
        "" if overload._schema.is_mutable and overload._overloadname == "default" else f"; use {base_name(overload)}"
    )

    def refuse(*args: Any, **named: Any) -> Any:
        raise RuntimeError(f"{name}: does not work under transforms of torch.func{alternative}")

    library.impl(name, refuse, TRANSFORMS)


def libc10_functions(names: Sequence[str]) -> tuple[int, ...]:
    """Addresses of functions in libc10 by their mangled names, or all zeros if one is missing."""
    try:
        libc10 = ctypes.CDLL("libc10.so")  # already loaded by `import torch`
        return tuple(ctypes.cast(getattr(libc10, name), ctypes.c_void_p).value or 0 for name in names)
    except (OSError, AttributeError):
        return (0,) * len(names)


def accessors() -> tuple[int, int]:
    """Addresses of TensorImpl::requires_grad() and TensorImpl::_fw_grad() in libc10, or zeros.

    The stable ABI guarantees neither these functions nor that a handle points to a tensor. Therefore nothing is linked
    against them, and for a newer PyTorch than those that were checked, this returns zeros and Python does the checks.
    """
    if tuple(map(int, torch.__version__.split(".")[:2])) > KNOWN_LAYOUT:
        return 0, 0
    requires_grad, tangent = libc10_functions(
        ("_ZNK3c1010TensorImpl13requires_gradEv", "_ZNK3c1010TensorImpl8_fw_gradEmRKN2at10TensorBaseE")
    )
    return requires_grad, tangent


def ensure_refusals(library: torch.library.Library, ops: Iterable[str]) -> None:
    """Adds checks for derivatives in Python, which take microseconds per call, if the compiled entry points have none.

    If they have, it removes autograd's fallback, which takes 0.1 us per call.

    Args:
        library: the library of the namespace.
        ops: ops of the namespace; the first one is called to test it, so its kernel must be registered.
    """
    packets = [getattr(getattr(torch.ops, library.ns), op) for op in ops]
    overloads = [getattr(packet, name) for packet in packets for name in packet.overloads()]
    overloads_without_gradient = [
        o for o in overloads if o._overloadname not in ("default", "autograd") or o._schema.is_mutable
    ]
    in_entry = bool(overloads_without_gradient) and _entry_refuses(overloads_without_gradient[0])
    for overload in overloads_without_gradient:
        if in_entry:
            library.impl(overload.name().split("::")[1], torch.library.fallthrough_kernel, "Autograd")
            # A compiled entry point gets the tensor inside a wrapper subclass, which does not show its derivatives.
            _refuse_in_python(library, overload, WRAPPERS)
        else:
            _refuse_in_python(library, overload, "Autograd")


def _entry_refuses(overload: Any) -> bool:
    """Whether the compiled entry point of an overload without derivatives raises an error for both kinds."""

    def refuses(tensor: Tensor, reason: str) -> bool:
        values = {"Tensor": tensor, "Optional[Tensor]": tensor, "float": 1.0, "int": 1, "bool": False}
        arguments = overload._schema.arguments
        args = [values[str(a.type)] for a in arguments if not a.kwarg_only]
        try:
            overload(*args, **{a.name: tensor for a in arguments if a.kwarg_only})
        except RuntimeError as error:
            return reason in str(error)
        return False

    level = forward_ad.dual_level() if forward_ad._current_level < 0 else contextlib.nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), level:  # the import may run in any mode
        x = torch.ones(1, device="cpu")
        return refuses(x.clone().requires_grad_(), "requires grad, but") and refuses(
            forward_ad.make_dual(x, x.clone()), "has a tangent, but"
        )


def _refuse_in_python(library: torch.library.Library, overload: Any, key: str) -> None:
    check = without_derivatives(overload, lambda *args, **named: None)
    if key == "Autograd":
        lower_keys = torch._C._after_autograd_keyset
    else:
        lower_keys = torch._C._dispatch_keyset_full_after(getattr(torch._C.DispatchKey, key))

    def refuse(keyset: torch._C.DispatchKeySet, *args: Any, **named: Any) -> Any:
        check(*args, **named)
        return overload.redispatch(keyset & lower_keys, *args, **named)

    library.impl(overload.name().split("::")[1], refuse, key, with_keyset=True)
