"""Weight-only int8 for linear layers and GPT-2's Conv1D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .site import Decision, Function, Site


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 with one scale a row: weight = int8 * scale, to half a step of a 127th of the row's largest value.

    Args:
        weight: shape [out, in], floating point.

    Returns:
        int8 of the same shape, contiguous, and scales of shape [out] in the dtype of weight.
    """
    wide = weight.detach().float()
    # Rounded to the dtype first, so that the quantised values belong to the scale that the op will multiply by.
    scales = (wide.abs().amax(dim=1) / 127).to(weight.dtype)
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    rounded = torch.round(wide / scales.float()[:, None]).clamp_(-127, 127)
    return rounded.to(torch.int8).contiguous(), scales


def linear(site: Site) -> Decision:
    """torch.nn.Linear, and the Conv1D of transformers, which holds its weight as [in, out].

    The float weights stay beside the int8 ones, for `unpatch`. A weight that the model also uses elsewhere is left.
    """
    weight = site.module.weight
    why = site.unfit("linear_w8", weight, site.module.bias)
    if not why and id(weight) in site.shared:
        others = [name for name in site.shared[id(weight)] if name != f"{site.name}.weight"]
        why = f"its weight is tied to {', '.join(others)}, which needs it as it is"
    if why:
        return Decision((), [("linear_w8", why)])
    return Decision(("linear_w8",), build=_linear, prepare=_prepare)


def _prepare(module: Any) -> None:
    weight = module.weight if isinstance(module, nn.Linear) else module.weight.t()
    module._patch_int8, module._patch_scales = quantise(weight)


def _linear(base: type, functions: Mapping[str, Function]) -> Function:
    op = functions["linear_w8"]

    def forward(self: Any, x: Tensor) -> Tensor:
        return op(x, self._patch_int8, self._patch_scales, self.bias)

    return forward
