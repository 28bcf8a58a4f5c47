"""Attention and rotary position embedding of Llama, Mistral and Qwen2, and attention of GPT-2.

With a mask (padded batches, static caches), or where weights or dropout of the attention are asked for, a call takes
the model's own way: the op has lengths in place of masks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .site import Decision, Function, Site, dropout

_MAX_DIM = 256


def _unfit(site: Site) -> str | None:
    """Why the op `attention` cannot serve the module, or None."""
    module = site.module
    implementation = module.config._attn_implementation
    if implementation not in ("sdpa", "eager"):
        return f"the model's attention is {implementation!r}, expected 'sdpa' or 'eager'"
    if module.head_dim > _MAX_DIM:
        return f"its head dimension is {module.head_dim}, the op takes at most {_MAX_DIM}"
    if _window(module):
        return "it has a sliding window, the op none"
    return site.unfit("attention", *module.parameters())


def _window(module: Any) -> int | None:
    """Mistral has its sliding window in the configuration, Qwen2 in each module, since not all of its layers slide."""
    return getattr(module.config if module.config.model_type == "mistral" else module, "sliding_window", None)


def gpt2(site: Site) -> Decision:
    """GPT2Attention as self-attention."""
    module = site.module
    why = _unfit(site)
    if module.is_cross_attention or module.config.add_cross_attention:
        why = "the model has cross-attention"
    elif module.reorder_and_upcast_attn:
        why = "the model asks for scores in float32 (reorder_and_upcast_attn)"
    if why:
        return Decision((), [("attention", why)])
    return Decision(("attention",), build=_gpt2)


def _gpt2(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["attention"]
    original: Callable[..., Any] = base.forward  # type: ignore[attr-defined]

    def forward(
        self: Any, hidden_states: Tensor, past_key_values: Any = None, attention_mask: Any = None, **kwargs: Any
    ) -> Any:
        if attention_mask is not None or self.training or kwargs.get("output_attentions"):
            return original(self, hidden_states, past_key_values, attention_mask, **kwargs)
        shape = hidden_states.shape
        parts = self.c_attn(hidden_states).split(self.split_size, dim=2)
        query, key, value = (part.view(*shape[:-1], -1, self.head_dim) for part in parts)
        attended = _attend(op, query, key, value, past_key_values, self.layer_idx, self.scaling)
        return dropout(self.resid_dropout, self.c_proj(attended.view(shape))), None

    return forward


def rotary(site: Site) -> Decision:
    """The attention of Llama, Mistral and Qwen2."""
    module = site.module
    found = Decision((), build=_rotary)
    refused = {"rope": site.unfit("rope", *module.parameters())}
    if module.head_dim % 2:
        refused["rope"] = f"its head dimension is {module.head_dim}, the op takes an even one"
    refused["attention"] = _unfit(site)
    for op, why in refused.items():
        if op in site.functions and why:
            found.left.append((op, why))
        elif op in site.functions:
            found.swapped = (*found.swapped, op)
    return found


def _rotary(base: type, functions: Mapping[str, Function]) -> Function:
    rope, attention = functions.get("rope"), functions.get("attention")
    home = sys.modules[base.__module__]
    rotate = _rope(rope) if rope else _original_rope(home.apply_rotary_pos_emb)
    interfaces, eager = home.ALL_ATTENTION_FUNCTIONS, home.eager_attention_forward

    def forward(
        self: Any,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> Any:
        shape = hidden_states.shape[:-1]
        heads = (*shape, -1, self.head_dim)
        query, key = self.q_proj(hidden_states).view(heads), self.k_proj(hidden_states).view(heads)
        value = self.v_proj(hidden_states).view(heads)
        query, key = rotate(query, key, *position_embeddings)
        asked = attention_mask is not None or self.training or kwargs.get("output_attentions")
        if attention is not None and not asked:
            out = _attend(attention, query, key, value, past_key_values, self.layer_idx, self.scaling)
            return self.o_proj(out.reshape(*shape, -1)), None
        keys, values = key.transpose(1, 2), value.transpose(1, 2)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, self.layer_idx)
        attend = interfaces.get_interface(self.config._attn_implementation, eager)
        if (window := _window(self)) is not None:
            kwargs["sliding_window"] = window
        out, weights = attend(
            self,
            query.transpose(1, 2),
            keys,
            values,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(out.reshape(*shape, -1).contiguous()), weights

    return forward


def _rope(op: Function) -> Function:
    def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        if cos.shape[0] == 1:
            return op(query, key, cos[0], sin[0])
        # Every sequence has angles of its own: the tables one behind the other, and which row each token takes.
        batch, length, dim = cos.shape
        rows = torch.arange(batch * length, device=cos.device).view(batch, length)
        return op(query, key, cos.reshape(-1, dim), sin.reshape(-1, dim), rows)

    return rotate


def _original_rope(function: Function) -> Function:
    return lambda query, key, cos, sin: function(query, key, cos, sin, unsqueeze_dim=2)


def _attend(op: Function, query: Tensor, key: Tensor, value: Tensor, past: Any, layer: int, scale: float) -> Tensor:
    """The op over new tokens and those of the cache: [B, S, N, D].

    Args:
        op: of the catalogue.
        query: [B, S, N, D].
        key: [B, S, Nk, D].
        value: as key.
        past: the cache of transformers, which holds [B, Nk, T, D], or None.
        layer: its index in the cache.
        scale: of the scores.
    """
    if past is not None:
        keys, values = past.update(key.transpose(1, 2), value.transpose(1, 2), layer)
        batch, groups, total, dim = keys.shape
        length = query.shape[1]
        if total != length:
            # The op takes [B, T, Nk, D]. Each key head as a batch of its own is that without a copy of the cache.
            by_group = (
                query.view(batch, length, groups, -1, dim).transpose(1, 2).reshape(batch * groups, length, -1, dim)
            )
            flat = (batch * groups, total, 1, dim)
            out = op(by_group, keys.reshape(flat), values.reshape(flat), None, scale, True)
            return out.view(batch, groups, length, -1, dim).transpose(1, 2).reshape(query.shape)
    return op(query, key, value, None, scale, True)
