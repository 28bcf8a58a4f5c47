"""Attention through `transformers.AttentionInterface`: the op where it fits, PyTorch's own attention elsewhere.

The op has neither masks nor dropout nor a gradient. Masks are made as for PyTorch's attention, which leaves them out
where plain causal or full attention is meant; a padded batch, a sliding window that cuts and a static cache come with
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .calls import Function, Ops, autocasts

MAX_HEAD_DIM = 256
REPLACED = "sdpa"  # the implementation whose masks and results these functions have


class Implementation(str):
    """The name of a registered implementation. Pickled it is that of PyTorch's attention, so that a saved model loads
    where this package is not."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[type[str], tuple[str]]:
        return str, (REPLACED,)

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Implementation:
        return self


def register(ops: Ops) -> Implementation:
    """Registers the route's attention and its masks with transformers; returns the name."""
    name = Implementation(f"custom_op_{ops.route}")
    AttentionInterface.register(name, _attention(ops))
    AttentionMaskInterface.register(name, sdpa_mask)
    # Continuous batching asks for the paged form of whatever the model has.
    AttentionInterface.register(f"paged|{name}", AttentionInterface()[f"paged|{REPLACED}"])
    return name


def calls_interface(module: nn.Module) -> bool:
    """Whether the module's forward looks its attention function up in transformers' interface."""
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def _attention(ops: Ops) -> Function:
    op, takes = ops.functions["attention"], ops.takes("attention")

    def forward(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        length, total, dim = query.shape[2], key.shape[2], query.shape[3]
        if (
            attention_mask is None
            and dropout == 0
            and isinstance(causal, bool)
            and (length == 1 or not causal or length == total)  # PyTorch aligns other causal masks at the first key
            and dim <= MAX_HEAD_DIM
            and key.shape == value.shape
            and takes(query, key, value)
            and not autocasts(query)
        ):
            scale = dim**-0.5 if scaling is None else scaling
            return attend(op, query, key, value, scale, causal and length > 1), None
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)

    return forward


def attend(op: Function, query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool) -> Tensor:
    """The op on tensors in the layout of transformers.

    Args:
        op: `attention` of the catalogue.
        query: [B, N, S, D].
        key: [B, Nk, T, D].
        value: as key.
        scale: of the scores.
        causal: whether a query sees no key behind its own.

    Returns:
        [B, S, N, D].
    """
    batch, heads, length, dim = query.shape
    groups, total = key.shape[1:3]
    if groups == 1 or not (key.is_contiguous() and value.is_contiguous()):
        return op(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), None, scale, causal)
    # A cache holds [B, Nk, T, D]: with each key head as a batch of its own the op takes it without a copy.
    grouped = query.reshape(batch, groups, heads // groups, length, dim).transpose(2, 3)
    flat = (batch * groups, total, 1, dim)
    out = op(
        grouped.reshape(batch * groups, length, heads // groups, dim),
        key.view(flat),
        value.view(flat),
        None,
        scale,
        causal,
    )
    return out.view(batch, groups, length, heads // groups, dim).transpose(1, 2).reshape(batch, length, heads, dim)


def _models(module: nn.Module) -> Iterator[PreTrainedModel]:
    """The models of transformers in a module, without those inside others."""
    if isinstance(module, PreTrainedModel):
        yield module
    else:
        for child in module.children():
            yield from _models(child)


def obstacle(module: nn.Module) -> str | None:
    """Why the attention of the models in `module` cannot be chosen, or None."""
    models = list(_models(module))
    if not models:
        return f"{type(module).__name__} contains no model of transformers, whose attention could be chosen"
    for model in (inner for outer in models for inner in outer.modules() if isinstance(inner, PreTrainedModel)):
        if not model._can_set_attn_implementation():
            return f"{type(model).__name__} does not use transformers' attention interface"
        if model.config._attn_implementation != REPLACED:
            return f"the model's attention is {model.config._attn_implementation!r}, expected {REPLACED!r}"
    return None


def choose(module: nn.Module, name: str) -> None:
    """Sets the attention of every model of transformers in `module`."""
    for model in _models(module):
        model.set_attn_implementation(name)


def is_chosen(module: nn.Module, name: str) -> bool:
    """Whether the models in `module` still have the attention that `choose` set."""
    return all(model.config._attn_implementation == name for model in _models(module))
