"""Work of known length that follows a call, so that the call is slower by a known share.

The work is a fixed number of steps of a C loop that touches no memory. It slows down with the call when the machine
does, as a slower kernel would; a wait for the clock would not. A Python function around the call does the work. Every
name has it, also the one without work: around a real call it costs more than around one that does nothing, by 3 % of
the calls of a few microseconds. What the work adds is measured by itself.
"""

from __future__ import annotations

import functools
import itertools
import statistics
from collections import deque
from collections.abc import Mapping

from evidence.core.sampling import Budget, Call, interleave

BASE = "base"
AGAIN = "again"
EFFECTS: dict[str, float] = {AGAIN: 0.0, "slower by 5 %": 0.05, "slower by 10 %": 0.10}
"""Second name of the call -> share of its time that is added; nothing for the A/A comparison."""

CALIBRATION = Budget(0.05, width=0.0, least_rounds=4, most_rounds=6)
STEPS = 20_000  # of a calibration

nothing: Call = functools.partial(bool)
"""A call that does no work, of the same kind as the partials that are timed."""

_nowhere: deque[None] = deque(maxlen=0)
_consume = _nowhere.extend


def followed(call: Call, steps: int) -> Call:
    """`call`, then `steps` steps of work."""

    def planted() -> None:
        call()
        _consume(itertools.repeat(None, steps))

    return planted


def added(calls: Mapping[str, Call]) -> dict[str, float]:
    """Microseconds by which each of `calls`, made around `nothing`, is longer than one without work; above 0."""
    times = interleave({BASE: followed(nothing, 0), **calls}, CALIBRATION)
    base = times[BASE]
    return {
        name: max(
            1e-4, statistics.median(with_work - without for with_work, without in zip(times[name], base, strict=True))
        )
        for name in calls
    }


@functools.cache
def step_cost() -> float:
    """Microseconds of one step of work: of the fastest rounds, measured once in a process.

    Other programs only add to it, and steps that seem longer than they are would plant too few of them.
    """
    times = interleave({BASE: followed(nothing, 0), "work": followed(nothing, STEPS)}, CALIBRATION)
    return (min(times["work"]) - min(times[BASE])) / STEPS


def steps_for(microseconds: float) -> int:
    """Steps that take as long."""
    return round(microseconds / step_cost())
