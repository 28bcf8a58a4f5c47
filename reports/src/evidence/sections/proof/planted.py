"""Work of known length that follows a call, so that the call is slower by a known share.

The work is a fixed number of steps of a C loop that touches no memory. It slows down with the call when the machine
does, as a slower kernel would; a wait for the clock would not. What was added is measured by itself afterwards: a
Python frame around the call is part of it, and is most of it for a call of a few microseconds.
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
STEPS = 20_000  # of a calibration: long against the frame around them

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
    """Microseconds by which each of `calls`, made around `nothing`, is longer than `nothing`; above 0."""
    times = interleave({BASE: nothing, **calls}, CALIBRATION)
    base = times[BASE]
    return {
        name: max(
            1e-4, statistics.median(with_work - without for with_work, without in zip(times[name], base, strict=True))
        )
        for name in calls
    }


@functools.cache
def cost_of_work() -> tuple[float, float]:
    """Microseconds of the frame around a call, and of one step of work; measured once in a process."""
    costs = added({"frame": followed(nothing, 0), "work": followed(nothing, STEPS)})
    return costs["frame"], max(1e-6, (costs["work"] - costs["frame"]) / STEPS)


def steps_for(microseconds: float) -> int:
    """Steps that together with the frame take as long; none where the frame alone is longer."""
    frame, step = cost_of_work()
    return max(0, round((microseconds - frame) / step))
