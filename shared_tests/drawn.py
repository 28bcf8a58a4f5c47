"""Sizes, layouts and magnitudes drawn by hypothesis, from which a spec builds the arguments of its op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from shared_tests.tensors import offset, randn, strided, transposed

if TYPE_CHECKING:
    from hypothesis import strategies as st

Value = TypeVar("Value")

# Sizes around the widths of vectors and of unrolled loops.
EDGES = (15, 16, 17, 31, 33, 63, 64, 65, 83, 127, 129, 255, 257, 769)
LAYOUTS = ("contiguous", "contiguous", "offset", "strided", "transposed", "expanded")
MAGNITUDES = (1.0, 1.0, 0.01, 8.0)


class Draw:
    """Draws values from hypothesis for a spec's `drawn`. A failure prints the drawn values as its example."""

    def __init__(self, data: st.DataObject, dtype: torch.dtype, device: str):
        from hypothesis import strategies  # imported late: specs are also read without test tools

        self.st = strategies
        self.data, self.dtype, self.device = data, dtype, device
        self.tensors = 0

    def choice(self, values: Sequence[Value]) -> Value:
        return self.data.draw(self.st.sampled_from(values))

    def size(self, low: int = 0, high: int | None = None) -> int:
        """A size from low to high: mostly up to 40, sometimes at the edge of a vector."""
        most = EDGES[-1] if high is None else high
        edges = [e for e in EDGES if low <= e <= most]
        small = self.st.integers(low, min(most, max(low, 40)))
        return self.data.draw(small | self.st.sampled_from(edges) if edges else small)

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        """A shape of a rank from `least` to `most`, whose last dimension may be long."""
        rank = self.data.draw(self.st.integers(least, most))
        if rank == 0:
            return ()
        return (*(self.data.draw(self.st.integers(0, 5)) for _ in range(rank - 1)), self.size())

    def tensor(
        self, shape: tuple[int, ...], *, contiguous: bool = False, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Normal values of a drawn magnitude in a drawn layout."""
        self.tensors += 1
        values = self.choice(MAGNITUDES) * randn(shape, torch.float32, seed=f"drawn {self.tensors}")
        return self.laid_out(values.to(dtype or self.dtype).to(self.device), contiguous)

    def integers(self, shape: tuple[int, ...], low: int, high: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        """Integers of [low, high) in a drawn layout."""
        self.tensors += 1
        generator = torch.Generator().manual_seed(self.data.draw(self.st.integers(0, 99)))
        values = torch.randint(low, max(high, low + 1), shape, generator=generator)
        return self.laid_out(values.to(dtype).to(self.device), False)

    def laid_out(self, x: torch.Tensor, contiguous: bool) -> torch.Tensor:
        layout = "contiguous" if contiguous else self.choice(LAYOUTS)
        if layout == "offset":
            return offset(x)
        if layout == "strided" and x.dim() >= 1:
            return strided(x)
        if layout == "transposed" and x.dim() >= 2:
            return transposed(x)
        if layout == "expanded" and x.dim() >= 2 and x.shape[0]:
            return x[:1].expand(x.shape)
        return x
