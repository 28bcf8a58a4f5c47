"""Times of calls from several processes, and the intervals that they give."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evidence.core.interval import Interval
from evidence.core.row import TimedStatus
from evidence.core.sampling import median_interval

State = tuple[TimedStatus, str | None]
Gated = dict[str, tuple[TimedStatus, str]]
"""Route -> status and reason of those that may not be timed."""


def state(gated: Gated, route: str, timed: bool, failure: TimedStatus, reason: str | None) -> State:
    """Status and message of a route: as gated, `ok` where it has a time, else the failure with its reason."""
    if route in gated:
        return gated[route]
    return ("ok", None) if timed else (failure, reason)


TIME = "time"
"""The base of a time itself, where others name the route that it is compared with."""


@dataclass
class Timings:
    """What several processes reported of one (case, mode).

    Attributes:
        times: by route, microseconds of every round, one list a process, empty where it has none.
        refused: by route, why it was not timed.
        first: by route, seconds of the first call in each process.
        facts: what is the same in every process: elements, bytes, flops, ...
        beside: GB/s of the copy that was timed beside it, one a process.
        lines: processes that reported.
        left_out: whether its calls take too long to be timed.
    """

    times: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, str] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[str, Any] = field(default_factory=dict)
    beside: list[float | None] = field(default_factory=list)
    lines: int = 0
    left_out: bool = False

    def add(self, line: dict[str, Any]) -> None:
        for route, values in line["times"].items():
            # A route that a process lacked gets an empty list there: ratios pair what was timed side by side.
            self.times[route] += [[] for _ in range(self.lines - len(self.times[route]))]
            self.times[route].append(values)
        self.lines += 1
        self.beside.append(line.get("beside"))
        self.left_out |= line.get("left_out", False)
        self.refused.update(line["refused"])
        for route, seconds in line["first"].items():
            self.first[route].append(seconds)
        self.facts |= {k: line[k] for k in ("elements", "bytes", "flops", "tensors", "reads", "set") if k in line}

    def of_copy(self, route: str) -> list[float]:
        """One a process: the route's rate as a share of that of the copy beside it, medians both."""
        moved = self.facts.get("bytes") or 0
        pairs = zip(self.times.get(route, []), self.beside, strict=False)
        return [moved / float(np.median(run)) / 1e3 / rate for run, rate in pairs if run and rate]

    def medians(self, route: str, base: str) -> list[float]:
        """One median a process: microseconds for base `time`, else the ratio to `base` (above 1 is faster)."""
        return [float(np.median(values)) for values in self._runs(route, base)]

    def within(self, route: str, base: str) -> Interval | None:
        """Median and interval over the rounds of all processes."""
        runs = self._runs(route, base)
        return median_interval(np.concatenate(runs)) if runs else None

    def _runs(self, route: str, base: str) -> list[np.ndarray]:
        own = self.times.get(route, [])
        if base == TIME:
            return [np.array(run) for run in own if run]
        if route == base:
            return []
        pairs = zip(self.times.get(base, []), own, strict=False)
        return [np.array(b[: len(r)]) / np.array(r[: len(b)]) for b, r in pairs if b and r]


def pooled(within: Interval, per_process: list[float]) -> Interval:
    """Median over processes' medians; the interval covers that over rounds and every process's own median.

    For the labs, whose rows are too few to lend each other a spread; run-time rows have `Between`.
    """
    middle = float(np.median(per_process))
    return Interval(middle, min(within.low, *per_process, middle), max(within.high, *per_process, middle))


def time_interval(timings: Timings, route: str) -> Interval | None:
    """Microseconds a call."""
    return _pooled(timings, route, TIME)


def ratio_interval(timings: Timings, route: str, base: str) -> Interval | None:
    """How many times faster than `base`: median of the per-round ratios, above 1 is faster."""
    return _pooled(timings, route, base)


def _pooled(timings: Timings, route: str, base: str) -> Interval | None:
    within = timings.within(route, base)
    return None if within is None else pooled(within, timings.medians(route, base))


def interval_keys(interval: Interval | None, middle: str, low: str, high: str) -> dict[str, Any]:
    if interval is None:
        return {middle: None, low: None, high: None}
    return {middle: interval.mid, low: interval.low, high: interval.high}
