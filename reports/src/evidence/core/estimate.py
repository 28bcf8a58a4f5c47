"""How long a run still takes: learnt from what finished stages took against their estimates, and from progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

PRIOR_SECONDS = 60.0
"""The estimates count as if stages of this many seconds had taken exactly as long as they said."""

OVERDUE_SHARE = 0.5
"""A stage that is late by a minute, and reports no progress, is expected to need half of that more."""


class Estimate:
    """Time left of a run of stages whose estimates are known.

    Args:
        seconds: the estimate of each stage, in the order in which they run.
        clock: seconds, from any origin.
    """

    def __init__(self, seconds: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = [max(value, 0.0) for value in seconds]
        self.clock = clock
        self.start = clock()
        self._index = -1
        self._begin = self._report = self.start
        self._inside = 0.0
        self._expected, self._took = PRIOR_SECONDS, PRIOR_SECONDS
        self._share = 0.0

    def begin(self, index: int) -> None:
        """Stage `index` begins; the one before it has ended."""
        self._end_stage()
        self._index, self._inside = index, 0.0
        self._begin = self._report = self.clock()

    def advance(self, seconds: float) -> None:
        """`seconds` of the running stage's estimate are over; more than its whole estimate is not counted."""
        inside = min(self._inside + seconds, self._current)
        if inside > self._inside:
            self._inside, self._report = inside, self.clock()

    def finish(self) -> None:
        """The last stage has ended: nothing is left."""
        self._end_stage()
        self._index = len(self.seconds)

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.start

    def left(self) -> float:
        """Seconds until the run ends, 0 or more."""
        ahead = sum(self.seconds[self._index + 1 :]) * self._pace()
        return self._left_of_stage() + ahead

    def share(self) -> float:
        """How much of the run is over, from 0 to 1; it never falls."""
        if self._index >= len(self.seconds):
            return 1.0
        elapsed = self.elapsed()
        whole = elapsed + self.left()
        self._share = max(self._share, min(elapsed / whole, 1.0) if whole > 0 else 0.0)
        return self._share

    @property
    def _current(self) -> float:
        return self.seconds[self._index] if 0 <= self._index < len(self.seconds) else 0.0

    def _pace(self) -> float:
        """What a second of an estimate takes: of finished stages, and of what the running one has reported."""
        took = self._took + (self._report - self._begin if self._inside else 0.0)
        return took / (self._expected + self._inside)

    def _left_of_stage(self) -> float:
        now = self.clock()
        if self._inside:  # its own pace, which the estimate of the stage weighs against until most of it is over
            weight = self._current / 4
            pace = (weight * self._pace() + self._report - self._begin) / (weight + self._inside)
            expected, since = (self._current - self._inside) * pace, now - self._report
        else:
            expected, since = self._current * self._pace(), now - self._begin
        return expected - since if since <= expected else OVERDUE_SHARE * (since - expected) * bool(self._current)

    def _end_stage(self) -> None:
        if 0 <= self._index < len(self.seconds):
            self._expected += self._current
            self._took += self.clock() - self._begin
            self._index += 1
            self._inside = 0.0
            self._begin = self._report = self.clock()
