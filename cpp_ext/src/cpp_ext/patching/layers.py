"""Layers for Hugging Face's `kernels` library, under the names that transformers uses.

`kernels.kernelize` sets the forward of such a class on each module that transformers has marked with its name. The
classes have no state; they use the weights of the module.
"""

from __future__ import annotations

from torch import Tensor, nn

from .calls import Ops, autocasts, keeps_dtype, mark


def layer_classes(ops: Ops) -> dict[str, type[nn.Module]]:
    """The layers for which a route has ops, by name. `kernelize` reads `has_backward` and `can_torch_compile`."""
    layers: dict[str, type[nn.Module]] = {}
    if "rms_norm" in ops.functions:
        layers["RMSNorm"] = _rms_norm(ops)
    if "gelu_tanh" in ops.functions:
        layers |= {name: _gelu_tanh(ops) for name in ("NewGELU", "GeluTanh")}
    for name, layer in layers.items():
        layer.__name__ = layer.__qualname__ = name
        layer.has_backward, layer.can_torch_compile = True, ops.traceable  # type: ignore[attr-defined]
        mark(layer.forward)
    return layers


def _rms_norm(ops: Ops) -> type[nn.Module]:
    op, takes = ops.functions["rms_norm"], ops.takes("rms_norm")

    class RMSNorm(nn.Module):
        """x / sqrt(mean(x^2) + eps) * weight over the last dimension, rounded once, after multiplying by the weight."""

        weight: Tensor
        variance_epsilon: float

        def forward(self, hidden_states: Tensor) -> Tensor:
            weight = self.weight
            if takes(hidden_states, weight) and weight.shape == hidden_states.shape[-1:] and keeps_dtype(weight):
                return op(hidden_states, weight, self.variance_epsilon)
            return type(self).forward(self, hidden_states)

    return RMSNorm


def _gelu_tanh(ops: Ops) -> type[nn.Module]:
    op, takes = ops.functions["gelu_tanh"], ops.takes("gelu_tanh")

    class GeluTanh(nn.Module):
        """The tanh form of GELU."""

        def forward(self, input: Tensor) -> Tensor:
            if takes(input) and not autocasts(input):
                return op(input)
            return type(self).forward(self, input)

    return GeluTanh
