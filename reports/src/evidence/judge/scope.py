"""What a decision reads: the pack with the device of the question, and the route that represents each side there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from evidence.core.pack import Pack
from evidence.core.routes import measured_representative
from evidence.judge.comparison import Comparison, comparisons, pair, select
from evidence.judge.questions import ALL, CPU, NVIDIA


@dataclass(frozen=True)
class Scope:
    """A pack as one question sees it.

    Attributes:
        pack: the pack.
        device: `cpu`, `NVIDIA`, `AMD` or all of them.
        compared: what the sections compare, on every device; computed here where nobody passes it.
    """

    pack: Pack
    device: str
    compared: Sequence[Comparison] | None = None

    @cached_property
    def comparisons(self) -> Sequence[Comparison]:
        """What the sections compare, on every device."""
        return comparisons(self.pack) if self.compared is None else self.compared

    @property
    def torch_device(self) -> str | None:
        """The device's name in the rows. PyTorch calls AMD's GPUs `cuda` too: its build says which it is."""
        if self.device in (CPU, ALL):
            return CPU
        versions = self.pack.facts("versions")
        is_amd = bool(versions.get("torch_hip"))
        return "cuda" if is_amd != (self.device == NVIDIA) else None

    def comparison(self, topic: str, name: str) -> Comparison | None:
        """The comparison of the question's representatives; None when one of them was not measured."""
        return select(self.comparisons, topic, name, self.device)

    def representative(self, side: str, measured: Iterable[str]) -> str | None:
        """The route that represents a side on the question's device, if it is among those measured."""
        return measured_representative(side, measured, self.device)

    def representatives(self, measured: Iterable[str]) -> tuple[str, str] | None:
        """Those of C++ and of Mojo; None when one of them was not measured."""
        return pair(measured, self.device)
