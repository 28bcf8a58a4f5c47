"""Attention for models that use PyTorch's: calls the op where it fits, and PyTorch's own function elsewhere.

The op supports neither masks nor dropout nor gradients. transformers passes no mask for plain causal or full attention;
it passes one for a padded batch, a sliding window shorter than the sequence and a static cache.

The op is not registered with `transformers.AttentionInterface` under a new name, because continuous batching, sparse
attention and others compare the name in the configuration with "sdpa". The name stays, and the patched module finds the
op's function under it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from .calls import Function, Ops, autocasts

NAME = "ALL_ATTENTION_FUNCTIONS"
MAX_HEAD_DIM = 256
REPLACED = "sdpa"


class Interface:
    """Wraps transformers' table of attention functions and returns another function instead of PyTorch's.

    Args:
        table: an `AttentionInterface`.
        function: the function that is returned instead of PyTorch's.
    """

    def __init__(self, table: Any, function: Function):
        self._table, self._function = table, function

    def _replacement(self, registered: Function) -> Function:
        return self._function if registered is sdpa_attention_forward else registered

    def get_interface(self, name: str, default: Function) -> Function:
        """Like `AttentionInterface.get_interface`."""
        return self._replacement(self._table.get_interface(name, default))

    def get(self, name: str, default: Any = None) -> Any:
        """Like `AttentionInterface.get`."""
        return self._replacement(self._table.get(name, default))

    def __getitem__(self, name: str) -> Function:
        return self._replacement(self._table[name])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def interface(table: Any, ops: Ops) -> Interface:
    """The table that a patched module sees instead of `table`."""
    return Interface(table, _attention(ops))


def calls_interface(module: nn.Module) -> bool:
    """Whether the module's forward looks its attention function up in transformers' interface."""
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and NAME in code.co_names


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
            and (length == 1 or not causal or length == total)  # PyTorch aligns other causal masks with the first key
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
    """Calls the op on tensors in the layout of transformers.

    Args:
        op: `attention` of the catalogue.
        query: [B, N, S, D].
        key: [B, Nk, T, D].
        value: the same shape as key.
        scale: factor of the scores.
        causal: whether a query sees only keys up to its own position.

    Returns:
        [B, S, N, D], contiguous.
    """
    batch, heads, length, dim = query.shape
    groups, total = key.shape[1:3]
    if groups == 1 or not (key.is_contiguous() and value.is_contiguous()):
        return op(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), None, scale, causal)
    # A cache has the layout [B, Nk, T, D]. Passing each key head as a batch avoids a copy of it.
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
    out = out.view(batch, groups, length, heads // groups, dim).transpose(1, 2)
    return out.reshape(batch, length, heads, dim).contiguous()


def obstacle(module: Any) -> str | None:
    """Why the op cannot serve the attention of a module, or None."""
    implementation = getattr(getattr(module, "config", None), "_attn_implementation", REPLACED)
    if implementation != REPLACED:
        return f"the model's attention is {implementation!r}, expected {REPLACED!r}"
    dim = getattr(module, "head_dim", 0)
    return f"its head dimension is {dim}, the op takes at most {MAX_HEAD_DIM}" if dim > MAX_HEAD_DIM else None
