"""The dispatch lab's findings: what a call is made of, from which size on a route keeps up, what the pools cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack, Row
from evidence.core.routes import MOJO, order
from evidence.core.thresholds import MATTERS
from evidence.sections.dispatch.table import dispatch, plain

COMPILED = "compiled"
CONTEXTS = {"call": "a call", COMPILED: "a call in a compiled function"}
SMALLEST = 16


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
    found: dict[tuple[str, str], Waterfall] = {}
    for index, row in enumerate(pack.rows("waterfall")):
        key = (row["route"], row.get("context", "call"))
        one = found.setdefault(key, Waterfall(*key))
        time = interval(row["median_us"], row.get("low_us"), row.get("high_us")) if row["status"] == "ok" else None
        piece = Piece(row["part"], time, row["how"], row.get("message"), f"/waterfall/rows/{index}")
        kind = row.get("kind", "part")
        if kind == "whole":
            one.whole = piece
        elif kind == "remainder":
            one.rest = piece
        else:
            {"part": one.parts, "detail": one.details, "form": one.forms}[kind].append(piece)
    return sorted(found.values(), key=lambda one: (one.context != "call", order(one.route)))


def why_compiled(pack: Pack) -> str | None:
    """What a call of route mojo in a compiled function costs, and in the waterfall's processes what it is made of.

    The dispatch lab's figure is the cost of such a call. The waterfall times it beside the calls of all its parts, so
    that its whole is another quantity, which says where the time goes.
    """
    parts = next((w for w in waterfalls(pack) if w.context == COMPILED and w.route == MOJO), None)
    if parts is None or parts.whole is None or parts.whole.time is None:
        return None
    named = {piece.name: piece.time.mid for piece in parts.pieces if piece.time}
    if "the op itself" not in named:
        return None
    words = f"{parts.route} in a compiled function"
    call = next((row for row in plain(dispatch(pack)) if (row.route, row.mode) == (MOJO, COMPILED) and row.time), None)
    cost = f"A call of {words} costs {text.micros(call.time.mid)}. " if call and call.time else ""
    shares = ", ".join(f"{name} {text.micros(value)}" for name, value in named.items() if value > 0)
    return (
        f"{cost}In the waterfall's processes, where it alternates with the calls of its parts, {words} takes "
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
        Reach(row["op"], row["route"], row["against"], row["factor"], row["elements"], _reach(row),
              f"/crossover/rows/{index}")
        for index, row in enumerate(pack.rows("crossover"))
    ]  # fmt: skip


def _reach(row: Row) -> str:
    if row["status"] != "ok":
        return str(row.get("message") or row["status"])
    if not row.get("largest"):
        return "never"
    smallest = (row.get("points") or [{"elements": 0}])[0]["elements"]
    largest = text.elements(row["largest"])
    low, high = row.get("elements_low", row["elements"]), row.get("elements_high", row["elements"])
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
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in pack.rows("crossover"):
        points = row.get("points") or []
        if row["status"] != "ok" or not points:
            continue
        lines = found.setdefault(row["op"], {})
        lines.setdefault(row["route"], [(p["elements"], p["us"]) for p in points])
        lines.setdefault(row["against"], [(p["elements"], p["against_us"]) for p in points])
    return {op: dict(sorted(lines.items(), key=lambda item: order(item[0]))) for op, lines in found.items()}


@dataclass(frozen=True)
class Setting:
    """What a thread setting does to the rows: those shown to be faster and slower than by default, by a factor."""

    name: str
    what: str
    faster: tuple[Row, ...]
    slower: tuple[Row, ...]
    rows: int

    @property
    def free(self) -> bool:
        """True when it helps somewhere and is shown to cost nothing."""
        return bool(self.faster) and not self.slower


def thread_settings(pack: Pack) -> list[Setting]:
    """Every setting beside the default; a row counts when its interval excludes 1 and its factor matters."""
    groups: dict[str, list[Row]] = {}
    for row in pack.rows("threads"):
        if row["setting"] != "default":
            groups.setdefault(row["setting"], []).append(row)
    found = []
    for name, rows in groups.items():
        timed = [row for row in rows if row["ratio_to_default"] is not None]
        faster = [row for row in timed if row["ratio_to_default"] >= MATTERS and row["ratio_low"] > 1]
        slower = [row for row in timed if row["ratio_to_default"] <= 1 / MATTERS and row["ratio_high"] < 1]
        found.append(Setting(name, str(rows[0].get("what") or ""), tuple(faster), tuple(slower), len(timed)))
    return found


def thread_advice(pack: Pack) -> list[str]:
    """What to set, from the rows: what the pools cost each other by default, and every setting with gains and costs."""
    said = []
    if cost := _oversubscription(pack.rows("threads")):
        said.append(cost)
    settings = [one for one in thread_settings(pack) if one.rows]
    if not settings:
        return said
    free = [one for one in settings if one.free]
    if free:
        best = max(free, key=lambda one: max(row["ratio_to_default"] for row in one.faster))
        said.append(f"Set {best.name} ({best.what}): {_changes(best.faster)}; no row is shown to be slower.")
    else:
        said.append("No setting helps without a cost shown on another row; the default stays unless one case counts.")
    for one in settings:
        if free and one is best:
            continue
        gains = _changes(one.faster) if one.faster else "nothing shown to be faster"
        costs = _changes(one.slower) if one.slower else "nothing shown to be slower"
        said.append(f"{one.name} ({one.what}): {gains}; {costs}.")
    return said


def _oversubscription(rows: Iterable[Row]) -> str | None:
    times = {
        (row["route"], row["elements"], row.get("pattern")): row["median_us"]
        for row in rows
        if row["setting"] == "default" and row["median_us"]
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


def _changes(rows: Iterable[Row], most: int = 4) -> str:
    """The largest changes first."""
    chosen = sorted(rows, key=lambda row: -abs(row["ratio_to_default"] - 1 / row["ratio_to_default"]))
    when = {"alternating": " after the other pool"}
    said = [
        f"{row['route']} at {text.elements(row['elements'])}{when.get(str(row.get('pattern')), '')} "
        f"{text.factor(row['ratio_to_default'])}"
        for row in chosen[:most]
    ]
    more = f" and {len(chosen) - most} more" if len(chosen) > most else ""
    return ", ".join(said) + more
