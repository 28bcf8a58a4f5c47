"""The fault corpus read back: each mistake side by side, and how many are caught where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from evidence.core.pack import Pack
from evidence.sections.faults.row import FaultRow

ORDER = (
    "compile",
    "load",
    "call",
    "sanitizer",
    "crash",
    "hang",
    "silent",
    "no effect",
    "not expressible",
    "did not run",
)
"""Where a mistake is caught, from the earliest on."""


@dataclass(frozen=True)
class Fault:
    """One mistake: `rows` by side, `pointers` to them in the pack."""

    name: str
    title: str
    kind: str
    mistake: str
    rows: dict[str, FaultRow] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)

    def caught(self, side: str) -> str:
        """Where a side catches it; `did not run` where the pack has no row."""
        return self.rows[side].caught if side in self.rows else "did not run"

    def shipped(self, side: str) -> str:
        """What the shipped build of a side does with it, whatever a sanitizer finds."""
        return (self.rows[side].shipped if side in self.rows else None) or self.caught(side)


def faults(pack: Pack) -> list[Fault]:
    """All mistakes of a pack, in its order."""
    faults: dict[str, Fault] = {}
    for pointed in pack.pointed(FaultRow):
        row = pointed.row
        fault = Fault(row.fault, row.title or row.fault, row.kind or "", row.mistake or "")
        fault = faults.setdefault(row.fault, fault)
        fault.rows[row.side] = row
        fault.pointers[row.side] = pointed.pointer
    return list(faults.values())


def summary(pack: Pack, kinds: tuple[str, ...] = (), shipped: bool = False) -> dict[str, dict[str, int]]:
    """Side -> where caught -> number of mistakes, in the order of ORDER, without zeros.

    Args:
        pack: the pack.
        kinds: count these kinds of mistake only; all when empty.
        shipped: count what the shipped build does, as if nobody ever ran a sanitizer.
    """
    counts: dict[str, Counter[str]] = {}
    for fault in faults(pack):
        if kinds and fault.kind not in kinds:
            continue
        for side in fault.rows:
            counts.setdefault(side, Counter())[fault.shipped(side) if shipped else fault.caught(side)] += 1
    return {side: {word: count[word] for word in ORDER if count[word]} for side, count in counts.items()}
