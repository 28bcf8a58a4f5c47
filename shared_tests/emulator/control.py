"""What an instruction may tell the scheduler: a branch, an exit, a barrier."""

from __future__ import annotations

from dataclasses import dataclass

from shared_tests.emulator.operands import Read, Write


@dataclass(frozen=True)
class Branch:
    """The lanes go on at a position."""

    target: int


@dataclass(frozen=True)
class Exit:
    """The lanes end."""


@dataclass(frozen=True)
class Trap:
    """The launch ends with an error."""


@dataclass(frozen=True)
class Barrier:
    """The lanes wait for all of their block.

    aligned: all lanes of a warp have to come together.
    reduction: popc, and, or: how the predicates of the lanes are combined for `write`; empty for a plain barrier.
    """

    aligned: bool
    reduction: str = ""
    predicate: Read | None = None
    write: Write | None = None
