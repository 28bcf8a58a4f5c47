"""What a rule is told about a module, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

# Ops in the order of the stages: first the talk's, then those of Llama and Qwen; each name is that of the catalogue.
OPS = (
    "layer_norm",
    "rms_norm",
    "gelu_tanh",
    "gpt2_mlp",
    "rope",
    "silu_and_mul",
    "add_rms_norm",
    "attention",
    "linear_w8",
)
ANSWERS_KEPT = OPS[:-1]  # int8 weights are another model
WITHOUT_GRADIENT = frozenset({"gpt2_mlp", "attention", "linear_w8"})
FLOATS = (torch.float32, torch.bfloat16, torch.float16)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Site:
    """One module of the model that a rule looks at.

    name: of the module in the model.
    module: the module, unchanged.
    functions: the ops by name, of the route; only those asked for.
    dtype: of the model, that of most of its floating point parameters.
    devices: device types of the route.
    shared: names under which the model holds each parameter, by id, where there are several.
    """

    name: str
    module: Any
    functions: Mapping[str, Function]
    dtype: torch.dtype
    devices: tuple[str, ...]
    shared: Mapping[int, list[str]]

    def unfit(self, op: str, *weights: Tensor | None) -> str | None:
        """Why `op` cannot take these weights of the module, or None.

        Args:
            op: of the catalogue.
            weights: what the op is given beside activations.
        """
        if self.module.training and op in WITHOUT_GRADIENT:
            return "in training mode, and the op has no gradient: call model.eval() first"
        for weight in weights:
            if weight is None:
                continue
            if type(weight.data) is not Tensor:
                return f"a weight is a {type(weight.data).__name__} (sharded or quantised), the op takes a plain tensor"
            if weight.device.type not in self.devices:
                return f"a weight is on {weight.device.type}, the route runs on {' and '.join(self.devices)}"
            if weight.dtype not in FLOATS:
                return f"a weight is {_name(weight.dtype)}, the op takes float32, bfloat16 and float16"
            if weight.dtype != self.dtype:
                return f"a weight is {_name(weight.dtype)} in a model of {_name(self.dtype)}: the op takes one dtype"
        return None


@dataclass
class Decision:
    """What becomes of a module.

    swapped: ops that it will call.
    left: ops that were asked for and have a place here, with the reason why they do not get it.
    build: makes the forward of the subclass from the module's own class and the ops that it calls; once for each class
        and set of swapped ops.
    prepare: sets what the subclass needs beside parameters, on the module, under names that start with `_patch_`; again
        whenever the parameters change by `.to(...)` or `load_state_dict`.
    restore: puts the parameters back as they were, where `prepare` moved them.
    covers: modules inside this one, whose op its own forward calls.
    """

    swapped: tuple[str, ...]
    left: list[tuple[str, str]] = field(default_factory=list)
    build: Callable[[type, Mapping[str, Function]], Function] | None = None
    prepare: Callable[[Any], None] | None = None
    restore: Callable[[Any], None] | None = None
    covers: Mapping[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> set[str]:
        """The ops that the subclass calls."""
        return {*self.swapped, *self.covers.values()}


class Derived:
    """Base of subclasses that hold something made of their parameters: it is made again when they change."""

    _patch_prepare: Callable[[], None]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)  # type: ignore[misc]
        self._patch_prepare()
        return result


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dropout(module: nn.Module, values: Tensor) -> Tensor:
    """`module` of `values` where it does anything: a Dropout in evaluation costs a call."""
    return module(values) if module.training else values
