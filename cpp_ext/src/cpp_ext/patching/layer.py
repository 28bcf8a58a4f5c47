"""The decoder layer of Llama, Mistral and Qwen2: residual addition and the norm behind it in one op."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .site import Decision, Function, Site


def decoder_layer(site: Site) -> Decision:
    """The addition behind attention and the norm before the MLP. The addition behind the MLP stays: the norm that
    follows it is in the next layer."""
    if why := site.unfit("add_rms_norm", site.module.post_attention_layernorm.weight):
        return Decision((), [("add_rms_norm", why)])
    return Decision(("add_rms_norm",), build=_decoder_layer)


def _decoder_layer(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["add_rms_norm"]

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), *args, **kwargs)
        norm = self.post_attention_layernorm
        normalised, residual = op(attended, hidden_states, norm.weight, norm.variance_epsilon)
        return residual + self.mlp(normalised)

    return forward
