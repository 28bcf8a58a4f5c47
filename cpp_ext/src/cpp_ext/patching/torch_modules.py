"""Forwards for LayerNorm and GELU of torch.nn, which transformers does not mark for `kernels`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .calls import Function, Ops, autocasts, keeps_dtype, mark


def layer_norm(module: Any, ops: Ops) -> Function:
    """A forward for torch.nn.LayerNorm over the last dimension, with a weight."""
    op, takes = ops.functions["layer_norm"], ops.takes("layer_norm")

    def forward(self: Any, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        fits = weight is not None and self.normalized_shape == input.shape[-1:] == weight.shape
        if fits and (takes(input, weight) if bias is None else takes(input, weight, bias)) and keeps_dtype(input):
            return op(input, weight, bias, self.eps)
        return type(self).forward(self, input)

    return mark(forward)


def gelu(module: Any, ops: Ops) -> Function:
    """A forward for torch.nn.GELU in its tanh form."""
    op, takes = ops.functions["gelu_tanh"], ops.takes("gelu_tanh")

    def forward(self: Any, input: Tensor) -> Tensor:
        if getattr(self, "approximate", "tanh") == "tanh" and takes(input) and not autocasts(input):
            return op(input)
        return type(self).forward(self, input)

    return mark(forward)
