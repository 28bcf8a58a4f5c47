"""Activations and feed-forward parts: NewGELU, GPT2MLP and the SiLU-gated MLP of Llama, Mistral and Qwen2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .int8 import quantise
from .site import Decision, Function, Site, dropout


def gelu(site: Site) -> Decision:
    """NewGELUActivation of transformers, and torch.nn.GELU where its approximation is tanh."""
    if getattr(site.module, "approximate", "tanh") != "tanh":
        return Decision((), [("gelu_tanh", f"approximates GELU by {site.module.approximate!r}, the op by tanh")])
    return Decision(("gelu_tanh",), build=_gelu)


def _gelu(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["gelu_tanh"]

    def forward(self: Any, input: Tensor) -> Tensor:
        return op(input)

    return forward


def gpt2_mlp(site: Site) -> Decision:
    """GPT2MLP with the tanh form of GELU; its activation is then part of the op."""
    module = site.module
    if "linear_w8" in site.functions:
        return Decision((), [("gpt2_mlp", "its matrices are int8: linear_w8 and gelu_tanh serve it")])
    why = site.unfit("gpt2_mlp", *module.parameters())
    kind = type(module.act).__name__
    if not why and not (kind == "NewGELUActivation" or getattr(module.act, "approximate", None) == "tanh"):
        why = f"its activation is {kind}, the op's is the tanh form of GELU"
    if why:
        return Decision((), [("gpt2_mlp", why)])
    return Decision(("gpt2_mlp",), build=_gpt2_mlp)


def _gpt2_mlp(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["gpt2_mlp"]

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        first, second = self.c_fc, self.c_proj
        return dropout(self.dropout, op(hidden_states, first.weight, first.bias, second.weight, second.bias))

    return forward


def gated_mlp(site: Site) -> Decision:
    """down(silu(gate(x)) * up(x)), with gate and up as one matrix, whose halves their weights then are."""
    module = site.module
    op = "silu_and_mul"
    first, second = module.gate_proj, module.up_proj
    why = site.unfit(op, *module.parameters())
    kind = type(module.act_fn).__name__
    if not why and not (isinstance(module.act_fn, nn.SiLU) or kind == "SiLUActivation"):
        why = f"its activation is {kind}, the op's is SiLU"
    if not why and (type(first) is not nn.Linear or type(second) is not nn.Linear):
        why = f"gate and up are {type(first).__name__} and {type(second).__name__}, expected torch.nn.Linear"
    if not why and (first.bias is None) != (second.bias is None):
        why = "one of gate and up has a bias, the other has none"
    if not why and any(id(part.weight) in site.shared for part in (first, second)):
        why = "the weight of gate or up is tied to another one"
    if why:
        return Decision((), [(op, why)])
    if "linear_w8" in site.functions and not site.unfit("linear_w8", first.weight):
        covers = {"gate_proj": "linear_w8", "up_proj": "linear_w8"}
        return Decision((op,), build=_gated_int8, prepare=_prepare_int8, covers=covers)
    return Decision((op,), build=_gated, prepare=_join, restore=_part)


def _join(module: Any) -> None:
    parts = (module.gate_proj, module.up_proj)
    module._patch_weight = _as_one([part.weight for part in parts])
    module._patch_bias = None if parts[0].bias is None else _as_one([part.bias for part in parts])


def _as_one(halves: list[nn.Parameter]) -> Tensor:
    """Both parameters one behind the other in one tensor, of which they become the halves: no memory more."""
    whole = torch.cat([half.data for half in halves])
    for half, part in zip(halves, whole.chunk(2), strict=True):
        half.data = part
    return whole


def _part(module: Any) -> None:
    for linear in (module.gate_proj, module.up_proj):
        for parameter in linear.parameters():
            parameter.data = parameter.data.clone()


def _gated(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["silu_and_mul"]

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.down_proj(op(F.linear(x, self._patch_weight, self._patch_bias)))

    return forward


def _prepare_int8(module: Any) -> None:
    first, second = module.gate_proj, module.up_proj
    parts = [quantise(part.weight) for part in (first, second)]
    module._patch_int8 = torch.cat([values for values, _ in parts])
    module._patch_scales = torch.cat([scales for _, scales in parts])
    module._patch_bias = None if first.bias is None else torch.cat([first.bias.detach(), second.bias.detach()])


def _gated_int8(base: type, functions: Mapping[str, Function]) -> Function:
    op, linear = functions["silu_and_mul"], functions["linear_w8"]

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.down_proj(op(linear(x, self._patch_int8, self._patch_scales, self._patch_bias)))

    return forward
