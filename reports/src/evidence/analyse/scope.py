"""What a decision reads: the pack with the device of the question, and the route that speaks for each side there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from evidence.analyse.questions import ALL, CPU, NVIDIA
from evidence.analyse.routes import CPP, MOJO
from evidence.analyse.runtime import Case, cases
from evidence.analyse.stages import Stage, build, speaks_for
from evidence.pack import Pack

CPU_ONLY = ("mojo_aot",)
"""Routes that cannot speak for their side on a GPU."""


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

    def speakers(self, present: Iterable[str]) -> tuple[str, str] | None:
        """The routes that speak for C++ and for Mojo among those present; None when a side has none."""
        some = [route for route in present if self.device == CPU or route not in CPU_ONLY]
        cpp, mojo = speaks_for(CPP, some), speaks_for(MOJO, some)
        return (cpp, mojo) if cpp and mojo else None
