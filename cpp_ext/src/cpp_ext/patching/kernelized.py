"""Replaces the forward of leaf layers through Hugging Face's `kernels`."""

from __future__ import annotations

from typing import Any

import torch
from kernels import Mode, kernelize, use_kernel_mapping
from torch import nn

from .calls import Function, Ops
from .layers import layer_classes


class InProcess:
    """A layer of this process, in the form in which `kernels` expects one from a repository."""

    def __init__(self, layer: type[nn.Module]):
        self.layer_name, self._layer = layer.__name__, layer

    def load(self) -> type[nn.Module]:
        """Returns the layer."""
        return self._layer

    def __str__(self) -> str:
        return f"{self._layer.__module__}.{self.layer_name}"


_repositories: dict[Any, dict[str, InProcess]] = {}


def _of(ops: Ops) -> dict[str, InProcess]:
    """Repositories of the layers of `ops`, created once, because `kernels` keeps every layer that it has loaded."""
    key = (ops.route, *((op, id(function)) for op, function in ops.functions.items()))
    if key not in _repositories:
        layers = layer_classes(ops)
        _repositories[key] = {name: InProcess(layer) for name, layer in layers.items()}
    return _repositories[key]


def kernelized_forwards(modules: list[nn.Module], ops: Ops) -> list[tuple[nn.Module, Function]]:
    """The forward functions that `kernelize` chooses for marked modules. The modules are not changed.

    Args:
        modules: instances of classes with a `kernel_layer_name`.
        ops: the ops of the route.

    Raises:
        RuntimeError: `kernelize` chose other functions than ours, for example with DISABLE_KERNEL_MAPPING=1.
    """
    if not modules:
        return []
    device = next((parameter.device.type for module in modules for parameter in module.parameters()), "cpu")
    if device == "cuda" and torch.version.hip:
        device = "rocm"
    mapping = {name: {device: {Mode.TRAINING: repository}} for name, repository in _of(ops).items()}
    instance_forwards = [module.__dict__.get("forward") for module in modules]
    with use_kernel_mapping(mapping, inherit_mapping=False):
        kernelize(nn.ModuleList(modules), mode=Mode.TRAINING, device=device)
    forwards = [(module, module.__dict__["forward"].__func__) for module in modules]
    for module, forward in zip(modules, instance_forwards, strict=True):
        del module.forward
        if forward is not None:
            module.forward = forward
    if not all(getattr(forward, "custom_op_patch", False) for _, forward in forwards):
        raise RuntimeError("patch: `kernels` kept the model's own layers; is DISABLE_KERNEL_MAPPING set?")
    return forwards
