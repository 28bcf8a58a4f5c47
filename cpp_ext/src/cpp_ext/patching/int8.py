"""Weight-only int8 for torch.nn.Linear and for transformers' Conv1D, whose weight is [in, out]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .calls import Function, Ops, autocasts, mark


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 quantisation with one scale per row: weight = int8 * scale.

    The scale is the largest magnitude of the row divided by 127, so the error is at most half a scale.

    Args:
        weight: shape [out, in], floating point.

    Returns:
        int8 of the same shape, contiguous, and scales of shape [out] in the dtype of weight.
    """
    wide = weight.detach().float()
    # Round the scale to its dtype first, because the op multiplies by the rounded scale.
    scales = (wide.abs().amax(dim=1) / 127).to(weight.dtype)
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    rounded = torch.round(wide / scales.float()[:, None]).clamp_(-127, 127)
    return rounded.to(torch.int8).contiguous(), scales


@dataclass(frozen=True)
class Quantised:
    """The int8 form of a weight, and the data to check whether the weight has changed.

    `source` shares the weight's memory, so the memory cannot be reused for another tensor.
    """

    source: Tensor
    version: int
    values: Tensor
    scales: Tensor

    def fits(self, weight: Tensor) -> bool:
        """Whether the weight is unchanged: it has the same memory, and no in-place operation has run on it since."""
        return (
            weight.data_ptr() == self.source.data_ptr()
            and weight._version == self.version
            and weight.dtype == self.source.dtype
            and weight.shape == self.source.shape
            and weight.stride() == self.source.stride()
        )


_quantised: WeakKeyDictionary[nn.Module, Quantised] = WeakKeyDictionary()


@torch.compiler.disable
def quantised(module: Any) -> tuple[Tensor, Tensor]:
    """The module's weight, as [out, in], quantised by `quantise`; it is quantised again when it changes.

    A change is detected by the weight's memory and by its version, which in-place operations increase. Writes through
    `weight.data`, `weight.detach().numpy()` or the storage, and FSDP's refills of the same memory, are not detected:
    call `forget` after them.
    """
    weight, entry = module.weight, _quantised.get(module)
    if entry is None or not entry.fits(weight):
        with torch.inference_mode(False), torch.no_grad():
            source = weight.detach()
            values, scales = quantise(source if isinstance(module, nn.Linear) else source.t())
        entry = _quantised[module] = Quantised(source, weight._version, values, scales)
    return entry.values, entry.scales


def forget(module: nn.Module) -> None:
    """Drops the int8 form of the module's weight; the next call quantises the weight again."""
    _quantised.pop(module, None)


def linear(module: Any, ops: Ops) -> Function:
    """A linear layer on int8 weights. Where a gradient is needed, the float weights are used."""
    op, takes = ops.functions["linear_w8"], ops.takes("linear_w8")

    def forward(self: Any, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        fits = takes(input, weight) if bias is None else takes(input, weight, bias)
        if fits and not autocasts(input) and not weight.is_inference():  # inference tensors have no version counter
            return op(input, *quantised(self), bias)
        return type(self).forward(self, input)

    return mark(forward)
