"""Weight-only int8 for torch.nn.Linear and for transformers' Conv1D, which holds its weight as [in, out]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .calls import Function, Ops, autocasts, mark


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


@dataclass(frozen=True)
class Quantised:
    """The int8 form of a weight, and what tells whether the weight is still the one that it was made of.

    `source` shares the weight's memory, which therefore cannot be given to another tensor meanwhile.
    """

    source: Tensor
    version: int
    values: Tensor
    scales: Tensor

    def fits(self, weight: Tensor) -> bool:
        """Whether the weight has not changed: the same memory, and no operation in place since."""
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
    """The module's weight as `quantise` gives it for [out, in], made again when the weight has changed.

    A change is seen by the weight's memory and by its version, which PyTorch counts up for operations in place. Writes
    through `weight.data`, `weight.detach().numpy()` or the storage, and FSDP's refills of the same memory, are not
    seen: call `forget` after them.
    """
    weight, entry = module.weight, _quantised.get(module)
    if entry is None or not entry.fits(weight):
        with torch.inference_mode(False), torch.no_grad():
            source = weight.detach()
            values, scales = quantise(source if isinstance(module, nn.Linear) else source.t())
        entry = _quantised[module] = Quantised(source, weight._version, values, scales)
    return entry.values, entry.scales


def forget(module: nn.Module) -> None:
    """Drops the int8 form of the module's weight; the next call makes it again."""
    _quantised.pop(module, None)


def linear(module: Any, ops: Ops) -> Function:
    """A linear layer without a gradient on int8 weights. Where a gradient is needed the float weights are used."""
    op, takes = ops.functions["linear_w8"], ops.takes("linear_w8")

    def forward(self: Any, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        fits = takes(input, weight) if bias is None else takes(input, weight, bias)
        if fits and not autocasts(input) and not weight.is_inference():  # inference tensors count no versions
            return op(input, *quantised(self), bias)
        return type(self).forward(self, input)

    return mark(forward)
