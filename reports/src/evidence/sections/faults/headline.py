"""What the fault corpus contributes to the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import FAULTS_AHEAD
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.faults.judge import EARLY, NO_FAULT, early, shared_faults
from evidence.sections.faults.readings import faults

COMPILED = ("compile",)


def _caught(pack: Pack) -> Mapping[str, str]:
    """Mistakes that the compiler catches, of those that both sides can make and that the route was tried on."""
    shared = shared_faults(pack)
    values: dict[str, str] = {}
    corpus = [fault for fault in faults(pack) if fault.name in shared or not shared]
    for route in dict.fromkeys(route for fault in corpus for route in fault.rows):
        caught = [fault.caught(route) for fault in corpus if fault.caught(route) not in NO_FAULT]
        if caught:
            tried = " tried" if len(caught) < len(corpus) else ""
            values[route] = f"{sum(place in COMPILED for place in caught)} of {len(caught)}{tried}"
    return values


def _mistakes(pack: Pack) -> Clause | None:
    """Whose compiler catches more of the mistakes that both sides can make."""
    shared = shared_faults(pack)
    if not shared:
        return None
    caught = {side: early(shared, side, COMPILED) for side in SIDES}
    called = {side: early(shared, side) for side in SIDES}
    rows = tuple(row.pointer for sides in shared.values() for row in sides.values())
    planted = text.count(len(shared), "planted mistake")
    if abs(caught[MOJO] - caught[CPP]) < FAULTS_AHEAD:
        counts = f"{caught[CPP]} in C++ and {caught[MOJO]} in Mojo"
        counts += f"; by the end of the first call {called[CPP]} and {called[MOJO]}"
        return Clause(f"the compilers catch about as many of {planted} ({counts})", rows)
    ahead, other = (MOJO, CPP) if caught[MOJO] > caught[CPP] else (CPP, MOJO)
    counts = (
        f"{caught[ahead]} against {caught[other]}; by the end of the first call {called[ahead]} against {called[other]}"
    )
    return Clause(f"{SIDE_NAMES[ahead]} catches more of {planted} at compile time ({counts})", rows)


def _places(places: Sequence[str]) -> Callable[[Pack], Mapping[str, str]]:
    def by_route(pack: Pack) -> Mapping[str, str]:
        """How many of the mistakes that both sides can make are first noticed at these places."""
        shared = shared_faults(pack)
        return {
            sides[side].row.side: f"{early(shared, side, tuple(places))} of {len(shared)}"
            for sides in shared.values()
            for side in SIDES
        }

    return by_route


def _until_it_shows(pack: Pack) -> Mapping[str, str]:
    """Median seconds from the start of the compiler to the error, of the mistakes that raise one by the first call."""
    seconds: dict[str, list[float]] = {}
    for sides in shared_faults(pack).values():
        for pointed in sides.values():
            if pointed.row.caught in EARLY and pointed.row.seconds is not None:
                seconds.setdefault(pointed.row.side, []).append(pointed.row.seconds)
    return {route: text.seconds(median(values)) for route, values in seconds.items()}


FIGURES = (Figure(60, "Mistakes caught at compile time", _caught),)
COSTS = (
    Figure(40, "A wrong line: found at compile time", _places(COMPILED)),
    Figure(41, "A wrong line: found at load or first call", _places(("load", "call"))),
    Figure(42, "A wrong line: found by a sanitizer only", _places(("sanitizer",))),
    Figure(43, "A wrong line: crash, hang or silently wrong", _places(("crash", "hang", "silent"))),
    Figure(44, "A wrong line: median time to its error", _until_it_shows),
)
CLAUSES = (Saying("work", 30, _mistakes),)
