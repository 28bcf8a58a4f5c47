"""What a decision reads: the pack with the device of the question, and the route that represents each side there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, measured_representative
from evidence.judge.questions import ALL, CPU, NVIDIA
from evidence.sections.build.table import Stage, build
from evidence.sections.runtime.cases import Case, cases


@dataclass(frozen=True)
class Scope:
    """A pack as one question sees it; `device` is `cpu`, `NVIDIA`, `AMD` or all of them."""

    pack: Pack
    device: str

    @cached_property
    def cases(self) -> list[Case]:
        """The run-time cases as called on the question's device; empty when the pack has none."""
        return [case for case in cases(self.pack) if case.mode == "call" and case.device == self.torch_device]

    @property
    def torch_device(self) -> str | None:
        """The device's name in the rows. PyTorch calls AMD's GPUs `cuda` too: its build says which it is."""
        if self.device in (CPU, ALL):
            return CPU
        versions = self.pack.facts("versions")
        is_amd = bool(versions.get("torch_hip"))
        return "cuda" if is_amd != (self.device == NVIDIA) else None

    @cached_property
    def build(self) -> dict[str, dict[str, Stage]]:
        """The build table."""
        return build(self.pack)

    def representative(self, side: str, measured: Iterable[str]) -> str | None:
        """The route that represents a side on the question's device, if it is among those measured."""
        return measured_representative(side, measured, self.device)

    def representatives(self, measured: Iterable[str]) -> tuple[str, str] | None:
        """Those of C++ and of Mojo; None when one of them was not measured."""
        routes = list(measured)
        cpp, mojo = self.representative(CPP, routes), self.representative(MOJO, routes)
        return (cpp, mojo) if cpp and mojo else None
