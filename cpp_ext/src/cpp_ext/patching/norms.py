"""LayerNorm and RMSNorm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .site import Decision, Function, Site


def layer_norm(site: Site) -> Decision:
    """torch.nn.LayerNorm over the last dimension, with a weight."""
    module: nn.LayerNorm = site.module
    if len(module.normalized_shape) != 1:
        why: str | None = f"normalises the last {len(module.normalized_shape)} dimensions, the op the last one"
    elif module.weight is None:
        why = "has no weight, the op takes one"
    else:
        why = site.unfit("layer_norm", module.weight, module.bias)
    if why:
        return Decision((), [("layer_norm", why)])
    return Decision(("layer_norm",), build=_layer_norm)


def _layer_norm(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["layer_norm"]

    def forward(self: Any, input: Tensor) -> Tensor:
        return op(input, self.weight, self.bias, self.eps)

    return forward


def rms_norm(site: Site) -> Decision:
    """The RMSNorm of Llama, Mistral and Qwen2, which rounds before it multiplies by the weight; the op rounds after."""
    if why := site.unfit("rms_norm", site.module.weight):
        return Decision((), [("rms_norm", why)])
    return Decision(("rms_norm",), build=_rms_norm)


def _rms_norm(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["rms_norm"]

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        return op(hidden_states, self.weight, self.variance_epsilon)

    return forward
