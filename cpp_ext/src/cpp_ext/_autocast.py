"""Autocast policies of the ops: PyTorch's policies for CUDA (ATen/autocast_mode.h), on every device.

PyTorch's own norms and softmax differ on the CPU, where they keep bfloat16.

The kernels are registered on dispatch keys that are active only inside autocast, so other calls cost nothing extra.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

Policy = Literal["float32", "widest", "lower"]

POLICIES: dict[str, Policy] = {}
_KEYS = {"cpu": "AutocastCPU", "cuda": "AutocastCUDA"}


def cast(policy: Policy, device: str, args: Sequence[Any]) -> list[Any]:
    """Casts the arguments that the policy applies to: floating-point tensors on the device that are not float64."""
    eligible = [
        isinstance(a, Tensor) and a.is_floating_point() and a.device.type == device and a.dtype is not torch.float64
        for a in args
    ]
    dtypes = {a.dtype for a, is_eligible in zip(args, eligible, strict=True) if is_eligible}
    if policy == "lower":
        dtype = torch.get_autocast_dtype(device)
    elif policy == "widest" and len(dtypes) == 1:
        (dtype,) = dtypes
    else:
        dtype = torch.float32
    return [a.to(dtype) if is_eligible else a for a, is_eligible in zip(args, eligible, strict=True)]


def active(op: str, args: Sequence[Any]) -> Sequence[Any]:
    """Casts the arguments by the policy of the op if autocast is enabled for their device."""
    policy = POLICIES.get(op)
    device = next((a.device.type for a in args if isinstance(a, Tensor)), "cpu")
    return cast(policy, device, args) if policy and device in _KEYS and torch.is_autocast_enabled(device) else args


def add_autocast(namespace: str, op: str, library: torch.library.Library) -> None:
    """Registers the autocast kernels of an op in a namespace."""
    policy, packet = POLICIES[op], getattr(getattr(torch.ops, namespace), op)

    def kernel(overload: Any, device: str) -> Callable[..., Any]:
        autocast_keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _KEYS[device]))

        def call(*args: Any) -> Any:
            with torch._C._ExcludeDispatchKeyGuard(autocast_keys):
                return overload(*cast(policy, device, args))

        return call

    for overload in (packet.default, packet.no_grad):
        for device, key in _KEYS.items():
            library.impl(overload.name().split("::")[1], kernel(overload, device), key)
