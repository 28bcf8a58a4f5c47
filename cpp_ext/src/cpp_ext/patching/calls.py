"""Decides for each call whether an op may replace a module's own forward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook

Function = Callable[..., Any]

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
WITHOUT_GRADIENT = frozenset({"gpt2_mlp", "attention", "linear_w8"})
_PLAIN = (Tensor, nn.Parameter)  # for sharded, quantised and other subclasses, the module's own forward runs


@dataclass(frozen=True)
class Ops:
    """The ops that a model is patched with, and what they support.

    Attributes:
        route: name of the route.
        functions: the ops by name, with the signatures of the catalogue.
        devices: device types that they run on.
        differentiable: whether autograd knows the gradient formulas of the ops on this route.
        traceable: whether torch.compile and torch.export can trace the functions.
    """

    route: str
    functions: Mapping[str, Function]
    devices: tuple[str, ...] = ("cpu", "cuda")
    differentiable: bool = True
    traceable: bool = True

    def takes(self, op: str) -> Callable[..., bool]:
        """Returns a function that checks whether `op` may be called with the given tensors.

        The tensors are those that must share one dtype and one device. The function returns False where the op's result
        or gradient would differ from the module's own: for other dtypes and devices, a gradient that the op does not
        have, forward-mode derivatives and the transforms of torch.func.
        """
        devices, gradient = self.devices, self.differentiable and op not in WITHOUT_GRADIENT
        kinds = (*_PLAIN, FakeTensor) if self.traceable else _PLAIN

        def check(*tensors: Tensor) -> bool:
            first = tensors[0]
            if first.dtype not in FLOATS or first.device.type not in devices:
                return False
            for tensor in tensors:
                if type(tensor) not in kinds or tensor.dtype != first.dtype or tensor.device != first.device:
                    return False
            if not gradient and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
                return False
            return torch.compiler.is_compiling() or not _transformed()

        return check


def _transformed() -> bool:
    """Whether a transform of torch.func or forward-mode differentiation is active."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def autocasts(tensor: Tensor) -> bool:
    """Whether autocast may change the dtypes of operations on the tensor."""
    return torch.is_autocast_enabled(tensor.device.type)


def keeps_dtype(tensor: Tensor) -> bool:
    """Whether an operation that autocast runs in float32 returns the dtype of the tensor."""
    return tensor.dtype == torch.float32 or not autocasts(tensor)


def mark(forward: Function) -> Function:
    """Marks a forward function as part of a patch of either side."""
    forward.custom_op_patch = True  # type: ignore[attr-defined]
    return forward


def current(forward: Function, original: Function) -> Function:
    """Calls `forward` while the forward function of the module's class is `own`, else the class's new one."""

    @functools.wraps(original)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        class_forward = type(self).forward
        return forward(self, *args, **kwargs) if class_forward is original else class_forward(self, *args, **kwargs)

    checked.__name__ = "forward"  # pickle finds a method by this name
    return mark(checked)


def replacement(module: nn.Module) -> Function | None:
    """The forward function that is set on the module instance and differs from its class's, or None."""
    method = module.__dict__.get("forward")
    function = getattr(method, "__func__", method)
    return None if function is getattr(type(module), "forward", None) else function


def patched(module: nn.Module) -> bool:
    """Whether a patch has replaced the module's forward function."""
    return getattr(replacement(module), "custom_op_patch", False)


def skippable(module: nn.Module) -> bool:
    """Whether the call of the module can be skipped: it has no hooks and no forward function but that of a patch."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or ("forward" in module.__dict__ and replacement(module) is not None and not patched(module))
        or _has_any_global_hook()
    )
