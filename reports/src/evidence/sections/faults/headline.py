"""What the fault corpus contributes to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import FAULTS_AHEAD
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.faults.judge import NO_FAULT, early, shared_faults
from evidence.sections.faults.readings import faults

COMPILED = ("compile",)


def _caught(pack: Pack) -> Mapping[str, str]:
    """Mistakes that the compiler catches, of those that had an effect on the route."""
    values: dict[str, str] = {}
    corpus = faults(pack)
    for route in dict.fromkeys(route for fault in corpus for route in fault.rows):
        caught = [fault.caught(route) for fault in corpus if fault.caught(route) not in NO_FAULT]
        if caught:
            values[route] = f"{sum(place in COMPILED for place in caught)} of {len(caught)}"
    return values


def _mistakes(pack: Pack) -> Clause | None:
    """Whose compiler catches more of the mistakes that both sides can make."""
    shared = shared_faults(pack)
    if not shared:
        return None
    caught = {side: early(shared, side, COMPILED) for side in SIDES}
    rows = tuple(row.pointer for sides in shared.values() for row in sides.values())
    if abs(caught[MOJO] - caught[CPP]) < FAULTS_AHEAD:
        counts = f"C++ {caught[CPP]}, Mojo {caught[MOJO]} of {len(shared)}"
        return Clause(f"the compilers catch about as many mistakes ({counts})", rows)
    ahead, other = (MOJO, CPP) if caught[MOJO] > caught[CPP] else (CPP, MOJO)
    counts = f"{caught[ahead]} of {len(shared)} against {caught[other]}"
    return Clause(f"{SIDE_NAMES[ahead]} catches more mistakes at compile time ({counts})", rows)


FIGURES = (Figure(60, "Mistakes caught at compile time", _caught),)
CLAUSES = (Saying("work", 30, _mistakes),)
