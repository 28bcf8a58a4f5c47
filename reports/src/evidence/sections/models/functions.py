"""Tables of ops to patch a model with, beside those of the two sides: the model's own formulas, and no work at all.

With its own formulas in the same places a model shows what patching itself costs or saves, without any custom op. With
ops that do nothing it shows an upper limit of what faster ops could give: their Amdahl bound, measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[..., Any]


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


def _add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    total = residual + x
    return _rms_norm(total, weight, eps), total


def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def _gpt2_mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    return torch.addmm(b2, _gelu_tanh(torch.addmm(b1, rows, w1)), w2).view(*x.shape[:-1], -1)


def _rope(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    if rows is not None:
        cos, sin = cos[rows], sin[rows]
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)

    def turned(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return torch.cat((-x[..., half:], x[..., :half]), dim=-1)

    return query * cos + turned(query) * sin, key * cos + turned(key) * sin


def _silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def _attention(query: Tensor, key: Tensor, value: Tensor, lengths: None, scale: float, causal: bool) -> Tensor:
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    masked = causal and query.shape[2] > 1
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, scale=scale, is_causal=masked, enable_gqa=grouped
    ).transpose(1, 2)


def _linear_w8(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    y = torch.ops.aten._weight_int8pack_mm(x.reshape(-1, x.shape[-1]), weight, scales).view(*x.shape[:-1], -1)
    return y if bias is None else y + bias


OWN: dict[str, Function] = {
    "layer_norm": lambda x, weight, bias, eps: F.layer_norm(x, weight.shape, weight, bias, eps),
    "rms_norm": _rms_norm,
    "gelu_tanh": _gelu_tanh,
    "gpt2_mlp": _gpt2_mlp,
    "rope": _rope,
    "silu_mul": _silu_mul,
    "silu_and_mul": lambda x: _silu_mul(*x.chunk(2, dim=-1)),
    "add_rms_norm": _add_rms_norm,
    "attention": _attention,
    "linear_w8": _linear_w8,
}
"""The formulas of transformers; for linear_w8, which it has not, PyTorch's own int8 product."""

NOTHING: dict[str, Function] = {
    "layer_norm": lambda x, weight, bias, eps: x,
    "rms_norm": lambda x, weight, eps: x,
    "gelu_tanh": lambda x: x,
    "gpt2_mlp": lambda x, w1, b1, w2, b2: x,
    "rope": lambda query, key, cos, sin, rows=None: (query, key),
    "silu_mul": lambda gate, up: gate,
    "silu_and_mul": lambda x: x[..., : x.shape[-1] // 2],
    "add_rms_norm": lambda x, residual, weight, eps: (x, residual),
    "attention": lambda query, key, value, lengths, scale, causal: query,
    "linear_w8": lambda x, weight, scales, bias: x.new_empty((*x.shape[:-1], weight.shape[0])),
}
"""Results of the right shapes that cost no computation; the answers are nonsense."""


def labelled(functions: Mapping[str, Function]) -> dict[str, Function]:
    """The same functions, each under its name in a profile."""

    def label(op: str, function: Function) -> Function:
        def call(*args: Any) -> Any:
            with torch.profiler.record_function(f"op:{op}"):
                return function(*args)

        return call

    return {op: label(op, function) for op, function in functions.items()}
