"""Forward functions that compute several children of a module in one op.

Children outside the op are called as usual. A child that the op replaces must be exactly of the known class and have
no hooks or other forward function; otherwise the original sequence of calls runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .calls import Function, Ops, autocasts, keeps_dtype, mark, skippable
from .known import form


def _computes(module: Any, formula: str, torch_class: type[nn.Module]) -> bool:
    """Whether a child is a known activation, either the class of torch or one of transformers with the same formula."""
    return type(module) is torch_class or form(type(module).forward) == formula


def _unchanged_check(module: nn.Module) -> Callable[[nn.Module], bool]:
    """Returns a check that a child still has the class and forward that `module` has now, and can be skipped."""
    kind, forward = type(module), type(module).forward

    def check(child: nn.Module) -> bool:
        return type(child) is kind and kind.forward is forward and skippable(child)

    return check


def is_silu(module: Any) -> bool:
    """Whether a module computes SiLU."""
    return _computes(module, "silu", nn.SiLU)


def is_gelu_tanh(module: Any) -> bool:
    """Whether a module computes the tanh form of GELU."""
    return _computes(module, "gelu_tanh", nn.GELU) and getattr(module, "approximate", "tanh") == "tanh"


def gated_mlp(module: Any, ops: Ops) -> Function:
    """down_proj(silu(gate_proj(x)) * up_proj(x)), in which the op computes the activation and the product."""
    op, takes, is_unchanged = ops.functions["silu_mul"], ops.takes("silu_mul"), _unchanged_check(module.act_fn)

    def forward(self: Any, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        if is_unchanged(self.act_fn) and gate.shape == up.shape and takes(gate, up):
            return self.down_proj(op(gate, up))
        return self.down_proj(self.act_fn(gate) * up)

    return mark(forward)


def packed_mlp(module: Any, ops: Ops) -> Function:
    """Like `gated_mlp`, with a single projection `gate_up_proj` that computes both halves."""
    op, takes, is_unchanged = (
        ops.functions["silu_and_mul"],
        ops.takes("silu_and_mul"),
        _unchanged_check(module.activation_fn),
    )

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        gate_and_up = self.gate_up_proj(hidden_states)
        if is_unchanged(self.activation_fn) and takes(gate_and_up):
            return self.down_proj(op(gate_and_up))
        gate, up = gate_and_up.chunk(2, dim=-1)
        return self.down_proj(up * self.activation_fn(gate))

    return mark(forward)


def decoder_layer(module: Any, ops: Ops) -> Function:
    """Computes the residual addition after attention and the norm before the MLP in one op.

    The addition after the MLP is not fused, because the norm that follows it belongs to the next layer.
    """
    op, takes = ops.functions["add_rms_norm"], ops.takes("add_rms_norm")
    is_unchanged = _unchanged_check(module.post_attention_layernorm)

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        norm = self.post_attention_layernorm
        if args or not is_unchanged(norm):
            return type(self).forward(self, hidden_states, *args, **kwargs)
        for name in ("attention_mask", "position_ids", "past_key_values", "position_embeddings"):
            kwargs.setdefault(name, None)
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        fits = norm.weight.shape == attended.shape[-1:] and attended.shape == hidden_states.shape
        if fits and takes(attended, hidden_states, norm.weight) and keeps_dtype(attended):
            normalised, residual = op(attended, hidden_states, norm.weight, norm.variance_epsilon)
        else:
            residual = hidden_states + attended
            normalised = norm(residual)
        return residual + self.mlp(normalised)

    return mark(forward)


def gpt2_mlp(module: Any, ops: Ops) -> Function:
    """Computes both projections of GPT-2's MLP and the activation between them, where no gradient is needed."""
    op, takes = ops.functions["gpt2_mlp"], ops.takes("gpt2_mlp")
    is_unchanged, projection = _unchanged_check(module.act), _unchanged_check(module.c_fc)

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        first, act, second = self.c_fc, self.act, self.c_proj
        if (
            projection(first)
            and is_unchanged(act)
            and projection(second)
            and takes(hidden_states, first.weight, first.bias, second.weight, second.bias)
            and not autocasts(hidden_states)
        ):
            return self.dropout(op(hidden_states, first.weight, first.bias, second.weight, second.bias))
        return type(self).forward(self, hidden_states)

    return mark(forward)
