"""The dispatch lab's findings: what a call is made of, from which size on a route keeps up, what the pools cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack
from evidence.core.routes import MOJO, order
from evidence.core.thresholds import MATTERS
from evidence.sections.dispatch.row import CrossoverRow, ThreadsRow, WaterfallRow
from evidence.sections.dispatch.table import dispatch, plain

COMPILED = "compiled"
CONTEXTS = {"call": "a call", COMPILED: "a call in a compiled function"}


@dataclass(frozen=True)
class Piece:
    """One part of a call, in microseconds; `time` is None where it could not be measured, `message` says why."""

    name: str
    time: Interval | None
    how: str
    message: str | None
    pointer: str


@dataclass
class Waterfall:
    """A route's call taken to pieces; `rest` is what the parts leave of the whole, `forms` are other ways to call."""

    route: str
    context: str
    whole: Piece | None = None
    parts: list[Piece] = field(default_factory=list)
    rest: Piece | None = None
    details: list[Piece] = field(default_factory=list)
    forms: list[Piece] = field(default_factory=list)

    @property
    def pieces(self) -> list[Piece]:
        """The parts and what they leave, in the order of the call."""
        return [*self.parts, *([self.rest] if self.rest else [])]

    @property
    def explained(self) -> float | None:
        """Share of the whole that the parts explain."""
        if not (self.whole and self.whole.time and self.rest and self.rest.time):
            return None
        return 1 - self.rest.time.mid / self.whole.time.mid


def waterfalls(pack: Pack) -> list[Waterfall]:
    """One for each route and context that has rows, in report order."""
    by_route: dict[tuple[str, str], Waterfall] = {}
    for pointed in pack.pointed(WaterfallRow):
        row = pointed.row
        key = (row.route, row.context)
        waterfall = by_route.setdefault(key, Waterfall(*key))
        time = interval(row.median_us, row.low_us, row.high_us) if row.status == "ok" else None
        piece = Piece(row.part, time, row.how, row.message, pointed.pointer)
        if row.kind == "whole":
            waterfall.whole = piece
        elif row.kind == "remainder":
            waterfall.rest = piece
        else:
            {"part": waterfall.parts, "detail": waterfall.details, "form": waterfall.forms}[row.kind].append(piece)
    return sorted(by_route.values(), key=lambda waterfall: (waterfall.context != "call", order(waterfall.route)))


def why_compiled(pack: Pack) -> str | None:
    """What a call of route mojo in a compiled function costs, and its parts as the waterfall measured them.

    The dispatch lab's figure is the cost of such a call. The waterfall times it beside the calls of all its parts, so
    that its whole is another quantity, which says where the time goes.
    """
    parts = next((w for w in waterfalls(pack) if w.context == COMPILED and w.route == MOJO), None)
    if parts is None or parts.whole is None or parts.whole.time is None:
        return None
    named = {piece.name: piece.time.mid for piece in parts.pieces if piece.time}
    if "the op itself" not in named:
        return None
    subject = f"{parts.route} in a compiled function"
    call = next((row for row in plain(dispatch(pack)) if (row.route, row.mode) == (MOJO, COMPILED) and row.time), None)
    cost = f"A call of {subject} costs {text.micros(call.time.mid)}. " if call and call.time else ""
    shares = ", ".join(f"{name} {text.micros(value)}" for name, value in named.items() if value > 0)
    return (
        f"{cost}In the waterfall's processes, where it alternates with the calls of its parts, {subject} takes "
        f"{text.micros(parts.whole.time.mid)}: {shares}."
    )


@dataclass(frozen=True)
class Reach:
    """One row of `crossover`: from which size on a route keeps up with another."""

    op: str
    route: str
    against: str
    factor: float
    elements: float | None
    text: str
    pointer: str


def reaches(pack: Pack) -> list[Reach]:
    """All crossover rows, in words."""
    return [
        Reach(row.op, row.route, row.against, row.factor, row.elements, _reach(row), pointed.pointer)
        for pointed in pack.pointed(CrossoverRow)
        for row in [pointed.row]
    ]


def _reach(row: CrossoverRow) -> str:
    if row.status != "ok":
        return row.message or row.status
    if not row.largest:
        return "never"
    smallest = row.points[0].elements if row.points else 0
    largest = text.elements(row.largest)
    low, high = row.elements_low, row.elements_high
    if low is None:
        return f"no break-even up to {largest}"
    if high is None:
        return f"from {text.elements(low)} at the earliest, no break-even shown up to {largest}"
    if high <= smallest:
        return f"from {text.elements(smallest)}, the smallest"
    # on a ladder of factors of two a tenth is no distance
    if high / low < 1.1:
        return f"from {text.elements(high)}"
    return f"from {text.elements(low)} to {text.elements(high)} on"


def ladders(pack: Pack) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """op -> route -> (elements, microseconds), for the picture: every route that was on the ladder."""
    by_op: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in pack.table(CrossoverRow):
        if row.status != "ok" or not row.points:
            continue
        lines = by_op.setdefault(row.op, {})
        lines.setdefault(row.route, [(point.elements, point.us) for point in row.points])
        lines.setdefault(row.against, [(point.elements, point.against_us) for point in row.points])
    return {op: dict(sorted(lines.items(), key=lambda item: order(item[0]))) for op, lines in by_op.items()}


@dataclass(frozen=True)
class Setting:
    """What a thread setting does to the rows: those shown to be faster and slower than by default, by a factor."""

    name: str
    what: str
    faster: tuple[ThreadsRow, ...]
    slower: tuple[ThreadsRow, ...]
    rows: int

    @property
    def free(self) -> bool:
        """True when it helps somewhere and is shown to cost nothing."""
        return bool(self.faster) and not self.slower


def thread_settings(pack: Pack) -> list[Setting]:
    """Every setting beside the default; a row counts when its interval excludes 1 and its factor matters."""
    groups: dict[str, list[ThreadsRow]] = {}
    for row in pack.table(ThreadsRow):
        if row.setting != "default":
            groups.setdefault(row.setting, []).append(row)
    settings = []
    for name, rows in groups.items():
        timed = [row for row in rows if row.ratio_to_default is not None]
        faster = [row for row in timed if _ratio(row) >= MATTERS and (row.ratio_low or 0) > 1]
        slower = [row for row in timed if _ratio(row) <= 1 / MATTERS and (row.ratio_high or math.inf) < 1]
        settings.append(Setting(name, rows[0].what or "", tuple(faster), tuple(slower), len(timed)))
    return settings


def _ratio(row: ThreadsRow) -> float:
    """Speed relative to the default setting, of a row that has one."""
    assert row.ratio_to_default is not None
    return row.ratio_to_default


def thread_advice(pack: Pack) -> list[str]:
    """What to set, from the rows: what the pools cost each other by default, and every setting with gains and costs."""
    advice = []
    if cost := _oversubscription(pack.table(ThreadsRow)):
        advice.append(cost)
    settings = [setting for setting in thread_settings(pack) if setting.rows]
    if not settings:
        return advice
    free = [setting for setting in settings if setting.free]
    best = max(free, key=lambda setting: max(map(_ratio, setting.faster)), default=None)
    if best:
        advice.append(f"Set {best.name} ({best.what}): {_changes(best.faster)}; no row is shown to be slower.")
    else:
        advice.append("No setting helps without a cost shown on another row; the default stays unless one case counts.")
    for setting in settings:
        if setting is best:
            continue
        gains = _changes(setting.faster) if setting.faster else "nothing shown to be faster"
        costs = _changes(setting.slower) if setting.slower else "nothing shown to be slower"
        advice.append(f"{setting.name} ({setting.what}): {gains}; {costs}.")
    return advice


def _oversubscription(rows: Iterable[ThreadsRow]) -> str | None:
    times = {
        (row.route, row.elements, row.pattern): row.median_us
        for row in rows
        if row.setting == "default" and row.median_us
    }
    parts = []
    for (route, size, pattern), alone in times.items():
        beside = times.get((route, size, "alternating"))
        if pattern == "alone" and beside and beside / alone >= MATTERS:
            parts.append(
                f"{route}, {text.elements(size)} elements: {text.micros(beside)} instead of {text.micros(alone)}"
            )
    if not parts:
        return None
    return (
        "By default, right after a call that used the other pool (its workers still spin and the caches are its own), "
        f"calls of so many elements take: {'; '.join(parts)}."
    )


def _changes(rows: Iterable[ThreadsRow], most: int = 4) -> str:
    """The largest changes first."""
    chosen = sorted(rows, key=lambda row: -abs(_ratio(row) - 1 / _ratio(row)))
    when = {"alternating": " after the other pool"}
    changes = [
        f"{row.route} at {text.elements(row.elements)}{when.get(row.pattern or '', '')} {text.factor(_ratio(row))}"
        for row in chosen[:most]
    ]
    more = f" and {len(chosen) - most} more" if len(chosen) > most else ""
    return ", ".join(changes) + more
