"""Two packs held against each other: what changed beyond noise, and how much of the first the second repeats.

What counts as a change of its rows is declared by each section as `diff(before, after, changes)`, which puts them
into `changes` by the functions below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from msgspec import Struct

from evidence.core import text
from evidence.core.interval import Interval, interval, spread
from evidence.core.pack import COMPLETE, DID_NOT_RUN, Pack, T, mode
from evidence.core.section import declarations
from evidence.core.tables import name_of as table_name
from evidence.judge.row import TABLES

REGRESSION = "regression"
BETTER = "better"
CHANGED = "changed"

IDENTITY = ("cpu", "cores_usable", "memory_gib", "gpus", "simd", "torch_simd")
"""Facts of a machine that numbers may not be compared across."""

MEMORY_TOLERANCE = 0.02
"""The memory that a virtual machine reports differs by as much from boot to boot."""

SETTINGS = ("ops", "routes", "device", "processes", "build_repeats", "torch_threads")
VERSIONS = ("python", "torch", "modular", "cxx", "commit", "dirty")


@dataclass(frozen=True)
class Change:
    """One difference. `kind` is `regression`, `better` or `changed`.

    `factor` is B over A: of the speed over eager's for run time, of seconds, microseconds or tokens for the rest.
    """

    section: str
    kind: str
    what: str
    before: str
    after: str
    factor: float | None = None

    @property
    def sentence(self) -> str:
        """Section, row and both values in a line."""
        factor = f" ({text.factor(self.factor)})" if self.factor else ""
        return f"{self.section}, {self.what}: {self.before} -> {self.after}{factor}"


@dataclass
class Diff:
    """What comparing two packs found. Shares are of the rows that both packs hold."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    intervals: int = 0
    overlapping: int = 0
    words: dict[str, tuple[int, int]] = field(default_factory=dict)
    eager_time: float | None = None

    def add(self, section: str, kind: str, what: str, before: str, after: str, factor: float | None = None) -> None:
        """Record a change."""
        self.changes.append(Change(section, kind, what, before, after, factor))

    @property
    def regressions(self) -> list[Change]:
        """What got worse beyond noise."""
        return [change for change in self.changes if change.kind == REGRESSION]

    @property
    def overlap(self) -> float | None:
        """Share of the ratio intervals of both packs that overlap; None when they have none in common."""
        return self.overlapping / self.intervals if self.intervals else None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "regressions": len(self.regressions),
            "changes": [asdict(change) for change in self.changes],
            "ratio_intervals": {"common": self.intervals, "overlapping": self.overlapping, "share": self.overlap},
            "same_words": {name: {"same": same, "of": of} for name, (same, of) in self.words.items()},
            "eager_time_b_over_a": self.eager_time,
            "notes": self.notes,
        }


def other_machine(before: Pack, after: Pack) -> list[str]:
    """Facts in which the machines of two packs differ, each with both values; empty for one kind of machine."""
    a, b = before.facts("machine"), after.facts("machine")
    differences = []
    for key in IDENTITY:
        have, other = a.get(key), b.get(key)
        if key == "memory_gib" and isinstance(have, (int, float)) and isinstance(other, (int, float)):
            if abs(have - other) <= MEMORY_TOLERANCE * max(have, other):
                continue
        elif have == other:
            continue
        differences.append(f"{key} is {have!r} in A and {other!r} in B")
    return differences


def other_mode(before: Pack, after: Pack) -> str | None:
    """The modes of two runs that measured different samples with different budgets; None for the same mode."""
    a, b = mode(before), mode(after)
    return None if a == b else f"A is a {a} run and B a {b} run"


def notes(before: Pack, after: Pack) -> list[str]:
    """Differences of settings, versions and completeness that a reader must know of."""
    differences = []
    for section, keys in (("settings", SETTINGS), ("versions", VERSIONS)):
        a, b = before.facts(section), after.facts(section)
        for key in keys:
            if a.get(key) != b.get(key):
                differences.append(f"{section}: {key} is {a.get(key)!r} in A and {b.get(key)!r} in B")
    if before.facts("settings").get("weights") != after.facts("settings").get("weights"):
        differences.append("settings: the weights of the decisions differ")
    for name, pack in (("A", before), ("B", after)):
        if pack.status != COMPLETE:
            differences.append(f"{name} is a partial pack")
    return differences


def diff(before: Pack, after: Pack) -> Diff:
    """Compare two packs; rows that only one of them holds are counted in a note, never judged."""
    changes = Diff(notes=notes(before, after))
    for _, section_diff in declarations("judge", "diff"):
        section_diff(before, after, changes)
    _conclusions(before, after, changes)
    order = (REGRESSION, CHANGED, BETTER)
    changes.changes.sort(key=lambda change: order.index(change.kind))
    return changes


def _conclusions(before: Pack, after: Pack, changes: Diff) -> None:
    """Verdict words: what the two packs conclude, and how often they agree."""
    for section, row_type in TABLES.items():
        same = 0
        rows: list[tuple[Any, Any]] = [*common(before, after, row_type, ("id",), changes)]
        for a, b in rows:
            same += a.verdict == b.verdict
            if a.verdict != b.verdict:
                changes.add(section, CHANGED, a.id, a.verdict, b.verdict)
        changes.words[section] = (same, len(rows))


def common(before: Pack, after: Pack, row_type: type[T], key: Sequence[str], changes: Diff) -> list[tuple[T, T]]:
    """Rows of a table with the same key in both packs, in A's order; what only one has is noted."""
    section = table_name(row_type)
    a, b = (
        {tuple(str(getattr(row, name)) for name in key): row for row in pack.table(row_type)}
        for pack in (before, after)
    )
    only_a, only_b = len(a.keys() - b.keys()), len(b.keys() - a.keys())
    if only_a or only_b:
        both = len(a.keys() & b.keys())
        changes.notes.append(
            f"{section}: {both} rows in both, {only_a} only in A and {only_b} only in B are not compared"
        )
    return [(row, b[name]) for name, row in a.items() if name in b]


def name_of(row: Struct, key: Sequence[str]) -> str:
    """The values of a row's key."""
    return " ".join(str(getattr(row, name)) for name in key)


def apart(a: Interval, b: Interval) -> bool:
    """Whether two intervals have nothing in common."""
    return a.high < b.low or b.high < a.low


def to_eager(row: Any) -> Interval | None:
    """A row's ratio to eager."""
    return interval(row.ratio_to_eager, row.ratio_low, row.ratio_high)


def change_of_status(section: str, what: str, a: Any, b: Any, changes: Diff) -> None:
    """A row that measured something in one pack only: worse when it is A, neither where the other did not run."""
    if a.status != b.status:
        kind = REGRESSION if a.status == "ok" else BETTER if b.status == "ok" else CHANGED
        if DID_NOT_RUN in (a.status, b.status):
            kind = CHANGED
        changes.add(section, kind, what, a.status, b.status)


def change_of_rank(section: str, what: str, a: str, b: str, order: Sequence[str], changes: Diff) -> None:
    """A word that changed: worse when it comes later in `order`, neither where it is not in there."""
    if a == b:
        return
    kind = CHANGED
    if a in order and b in order:
        kind = REGRESSION if order.index(b) > order.index(a) else BETTER
    changes.add(section, kind, what, a, b)


def change_of_count(section: str, what: str, a: int, b: int, unit: str, changes: Diff) -> None:
    """A number of failures that changed: worse when it rose."""
    if a != b:
        kind = REGRESSION if b > a else BETTER
        changes.add(section, kind, what, f"{a} {unit}", f"{b} {unit}")


def geometric(values: Iterable[float]) -> float | None:
    """Geometric mean, or None of nothing."""
    whole = spread(values)
    return whole.mean if whole else None
