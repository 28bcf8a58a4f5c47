"""Finds the modules of a model that ops could replace, and explains why a module is left as it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import activations, pytorch_utils

from . import attention, fused, int8, rotary, torch_modules
from .calls import FLOATS, Ops, replacement
from .known import form

Build = Callable[[Any, Ops], Any]


@dataclass(frozen=True)
class Place:
    """A module whose computation an op could replace.

    Attributes:
        op: name of the op.
        name: name of the module in the model.
        module: the module.
        build: `(module, ops) -> forward`, or the object for `scope`; None if `kernels` replaces the forward.
        scope: the global name that the object replaces in the forward of the module's class.
        reason: why the module is left as it is, or None.
    """

    op: str
    name: str
    module: nn.Module
    build: Build | None = None
    scope: str | None = None
    reason: str | None = None


def _fits(
    module: nn.Module, weights: tuple[Tensor | None, ...], dtype: torch.dtype, devices: tuple[str, ...]
) -> str | None:
    """Why an op could serve none of the module's calls, or None.

    Args:
        module: the module whose forward would be replaced.
        weights: the parameters that the op would take.
        dtype: the dtype of most of the model's parameters.
        devices: device types of the route.
    """
    if replacement(module) is not None:
        return "its forward was replaced on the instance"
    for weight in weights:
        if weight is None:
            continue
        if type(weight.data) is not Tensor:
            return f"a weight is a {type(weight.data).__name__} (sharded or quantised), the op takes a plain tensor"
        if weight.device.type not in devices:
            return f"a weight is on {weight.device.type}, the route runs on {' and '.join(devices)}"
        if weight.dtype not in FLOATS:
            return f"a weight is {_name(weight.dtype)}, the op takes float32, bfloat16 and float16"
        if weight.dtype != dtype:
            return f"a weight is {_name(weight.dtype)} in a model of {_name(dtype)}: the op takes one dtype"
    return None


class Finder:
    """Searches a model once for modules that the given ops could replace."""

    def __init__(self, model: nn.Module, ops: Ops):
        self.model, self.ops = model, ops
        self.dtype = _main_dtype(model)
        self.shared = _shared(model)

    def places(self) -> Iterator[Place]:
        """The places of the available ops, in the order of the modules."""
        for name, module in self.model.named_modules():
            for place in self._of(name, module):
                if place.op in self.ops.functions:
                    yield place

    def _of(self, name: str, module: Any) -> Iterator[Place]:
        kind = type(module)
        layer = getattr(kind, "kernel_layer_name", None)

        def place(op: str, reason: str | None, build: Build | None = None, **options: Any) -> Place:
            return Place(op, name, module, build, reason=reason, **options)

        def fits(*weights: Tensor | None) -> str | None:
            return _fits(module, weights, self.dtype, self.ops.devices)

        if kind is nn.LayerNorm:
            yield place(
                "layer_norm", _layer_norm_shape(module) or fits(module.weight, module.bias), torch_modules.layer_norm
            )
        elif kind is nn.GELU:
            reason = None if fused.is_gelu_tanh(module) else "it computes the exact form of GELU, the op the tanh form"
            yield place("gelu_tanh", reason or fits(), torch_modules.gelu)
        elif kind in (nn.Linear, pytorch_utils.Conv1D):
            yield place("linear_w8", fits(module.weight, module.bias) or self._tied(name, module), int8.linear)
        elif layer is not None:
            yield from self._marked(layer, place, fits, module)
        elif fused.is_gelu_tanh(module):  # a class of transformers that its decorator did not mark for `kernels`
            yield place("gelu_tanh", fits(), torch_modules.gelu)
        elif (subclass := _subclass(kind)) is not None:
            yield place(
                subclass[0], f"{kind.__name__} is a subclass of {subclass[1]}, and only the class itself is known"
            )
        formula = form(kind.forward)
        if formula == "rms_norm" and not layer:
            yield place("rms_norm", "`kernels` is switched off: transformers has not marked the class for it")
        elif not layer and kind.__name__.endswith("RMSNorm"):
            yield place("rms_norm", f"{kind.__name__} computes another formula than Llama's RMSNorm")
        if formula == "gated_mlp":
            yield place("silu_mul", _not_silu(module.act_fn) or fits(), fused.gated_mlp)
        elif formula == "packed_mlp":
            yield place("silu_and_mul", _not_silu(module.activation_fn) or fits(), fused.packed_mlp)
        elif formula == "gpt2_mlp":
            yield place("gpt2_mlp", self._gpt2_mlp(module) or fits(*module.parameters()), fused.gpt2_mlp)
        elif formula == "decoder_layer":
            norm = module.post_attention_layernorm
            is_known = form(type(norm).forward) == "rms_norm"
            reason = None if is_known else f"the norm before its MLP is {type(norm).__name__}, the op's is RMS norm"
            yield place("add_rms_norm", reason or fits(norm.weight), fused.decoder_layer)
        elif hasattr(module, "post_attention_layernorm"):
            yield place("add_rms_norm", f"{kind.__name__} adds in another order than Llama's decoder layer")
        elif any(fused.is_silu(child) for child in module.children()):
            yield place("silu_mul", f"{kind.__name__} is no gated MLP of a known form")
        if (rotate := rotary.original(module)) is not None:
            is_known = rotary.is_known(rotate)
            reason = None if is_known else f"{kind.__name__} rotates in another form than by the halves of a head"
            yield place("rope", reason or fits(*module.parameters()), rotary.rotation, scope=rotary.NAME)
        if attention.calls_interface(module):
            reason = attention.obstacle(module) or fits(*module.parameters())
            yield place("attention", reason, _interface, scope=attention.NAME)

    def _marked(self, layer: str, place: Any, fits: Any, module: Any) -> Iterator[Place]:
        """The place in a leaf layer that transformers marks for `kernels`."""
        kind = type(module).__name__
        if layer == "RMSNorm":
            is_known = form(type(module).forward) == "rms_norm"
            reason = None if is_known else f"{kind} computes another formula than Llama's RMSNorm"
            yield place("rms_norm", reason or fits(module.weight))
        elif layer in ("NewGELU", "GeluTanh"):
            yield place("gelu_tanh", fits())

    def _tied(self, name: str, module: Any) -> str | None:
        other_names = [
            other_name for other_name in self.shared.get(id(module.weight), ()) if other_name != f"{name}.weight"
        ]
        return f"its weight is tied to {', '.join(other_names)}, which needs it as it is" if other_names else None

    def _gpt2_mlp(self, module: Any) -> str | None:
        if "linear_w8" in self.ops.functions:
            return "its matrices are int8: linear_w8 and gelu_tanh serve it"
        if not fused.is_gelu_tanh(module.act):
            return f"its activation is {type(module.act).__name__}, the op's is the tanh form of GELU"
        if any(form(type(child).forward) != "conv1d" for child in (module.c_fc, module.c_proj)):
            return (
                f"its projections are {type(module.c_fc).__name__} and {type(module.c_proj).__name__}, expected Conv1D"
            )
        return None


def _layer_norm_shape(module: nn.LayerNorm) -> str | None:
    if len(module.normalized_shape) != 1:
        return f"normalises the last {len(module.normalized_shape)} dimensions, the op the last one"
    return "has no weight, the op takes one" if module.weight is None else None


def _not_silu(module: nn.Module) -> str | None:
    return None if fused.is_silu(module) else f"its activation is {type(module).__name__}, the op's is SiLU"


def _interface(module: Any, ops: Ops) -> Any:
    return attention.interface(type(module).forward.__globals__[attention.NAME], ops)


def _subclass(kind: type) -> tuple[str, str] | None:
    """The op and the base class if `kind` is a subclass of a known class, else None."""
    for base, op in (
        (nn.LayerNorm, "layer_norm"),
        (nn.GELU, "gelu_tanh"),
        (nn.Linear, "linear_w8"),
        (pytorch_utils.Conv1D, "linear_w8"),
        (activations.NewGELUActivation, "gelu_tanh"),
    ):
        if issubclass(kind, base):
            return op, base.__name__
    return None


def _main_dtype(model: nn.Module) -> torch.dtype:
    sizes: Counter[torch.dtype] = Counter()
    for parameter in model.parameters():
        if parameter.is_floating_point():
            sizes[parameter.dtype] += parameter.numel()
    return sizes.most_common(1)[0][0] if sizes else torch.get_default_dtype()


def _shared(model: nn.Module) -> Mapping[int, list[str]]:
    """The names of each parameter that has several names in the model, by the parameter's id."""
    names = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return {key: aliases for key, aliases in names.items() if len(aliases) > 1}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
