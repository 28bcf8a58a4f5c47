"""Interleaved timing: every route is visited forward and backward in each round, so that drift hits all alike.

A round visits the calls in order and then in reverse order (ABBA). A visit waits until the workers of the route before
it are asleep and then times a fixed number of back-to-back calls; a round's time for a call is the mean of its two
visits. Ratios are taken within a round and the median over rounds is reported, with the exact interval of a median
(`median_interval`). Sampling goes on until every interval is narrow enough or the budget is spent. What fresh processes
add to the interval stands in `between.py`.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evidence.core.interval import Interval

Call = Callable[[], object]

VISIT_NS = 800_000  # long against the clock's ~50 ns, short against the scheduler's 4 ms slice
LONG_NS = 20_000_000  # from here on waking workers and warming caches is a small part of a call
MOST_CALLS = 2_000
LEAST_ROUNDS = 2  # also where one round already spends the budget ...
SPENT = 4  # ... unless it spends so many budgets: its processes then are its rounds
LEVEL = 0.95  # of every interval
LEAST_ORDERED = 6  # fewer values hold their median less often than LEVEL, even between the first and the last


@dataclass(frozen=True)
class Budget:
    """When to stop: `seconds` for the whole, or earlier once every relative interval width is below `width`."""

    seconds: float
    width: float = 0.02
    least_rounds: int = 4
    most_rounds: int = 200


def width(interval: Interval) -> float:
    """Relative width of an interval."""
    return (interval.high - interval.low) / interval.mid if interval.mid else math.inf


def median_interval(values: list[float] | np.ndarray) -> Interval:
    """Median of `values` and its 95 % interval, whatever their distribution.

    The interval runs between two order statistics, as many in from each end as the binomial distribution allows (David
    and Nagaraja, “Order Statistics”, 3rd edition, 7.1). Below `LEAST_ORDERED` values their whole range holds the median
    too rarely (2: 50 %, 4: 88 %), so there Student's t over the logarithms widens it. A percentile bootstrap in their
    place held the median in 84 to 87 % of simulated processes that stop once it is narrow, with 5 % of noise; this
    holds it in 93 % there (reports/tests/core/test_measure.py).

    Args:
        values: times or ratios, above 0.
    """
    data = np.sort(np.asarray(values, dtype=float))
    count = len(data)
    middle, low, high = float(np.median(data)), float(data[0]), float(data[-1])
    if count >= LEAST_ORDERED:
        skip = int(stats.binom.ppf((1 - LEVEL) / 2, count, 0.5)) - 1
        low, high = float(data[skip]), float(data[count - 1 - skip])
    elif count > 1 and low < high:
        logs = np.log(data)
        half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * logs.std(ddof=1)) / math.sqrt(count)
        low, high = min(low, math.exp(logs.mean() - half)), max(high, math.exp(logs.mean() + half))
    return Interval(middle, low, high)


def settle(longest: float = 0.03) -> None:
    """Wait until no other thread of this process runs, `longest` seconds at most.

    libgomp's workers spin for about 9 ms after a parallel region (measured); on few cores they would take a core from
    whichever route is visited next and uses another pool. What a mixed program pays is another question.
    """
    end = time.perf_counter() + longest
    while _running_threads() > 1 and time.perf_counter() < end:
        time.sleep(5e-4)


def _running_threads() -> int:
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:  # no procfs: the full wait
        return 2
    running = 0
    for task in tasks:
        try:
            with open(f"/proc/self/task/{task}/stat") as stat:
                running += stat.read().rpartition(")")[2].split()[0] == "R"
        except OSError:  # it ended meanwhile
            continue
    return running


@dataclass(frozen=True)
class Visit:
    """How a call is timed: `calls` back to back, after an untimed one if `warm`."""

    calls: int
    warm: bool

    def time(self, call: Call, sync: Call) -> int:
        """Nanoseconds of all the calls together."""
        settle()
        if self.warm:
            call()  # after the pause caches are cold and workers asleep: one call woke them in 300 us, the next took 30
        return _timed(call, self.calls, sync)


def _timed(call: Call, calls: int, sync: Call) -> int:
    sync()
    begin = time.perf_counter_ns()
    for _ in range(calls):
        call()
    sync()
    return time.perf_counter_ns() - begin


def _nothing() -> None:
    return None


def plan_visit(call: Call, sync: Call = _nothing) -> Visit:
    """A visit long enough for the clock; calls that are long themselves are neither repeated nor warmed up."""
    first = Visit(1, False).time(call, sync)
    if first > LONG_NS:
        first = min(first, Visit(1, False).time(call, sync)) if first < 10 * LONG_NS else first
    if first > LONG_NS:
        return Visit(1, False)
    if first > 2 * VISIT_NS:
        return Visit(1, True)
    calls = 1
    while calls < MOST_CALLS and (spent := Visit(calls, True).time(call, sync)) < VISIT_NS:
        calls = min(MOST_CALLS, max(calls * 2, calls * VISIT_NS // max(spent, 1)))
    return Visit(calls, True)


def interleave(
    calls: Mapping[str, Call],
    budget: Budget,
    baseline: str | None = None,
    sync: Call = _nothing,
    visit_of: Callable[[Call], Callable[[], float]] | None = None,
    visits: Mapping[str, Visit] | None = None,
) -> dict[str, list[float]]:
    """Time per call in microseconds, one value a round, for each of `calls`.

    Args:
        calls: what to time, by name.
        budget: when to stop.
        baseline: the name whose ratios decide whether the intervals are narrow (default: the first).
        sync: waits for the device; called around every visit.
        visit_of: another clock: gives for a call what gives the microseconds of one (default: wall time).
        visits: how calls are timed by wall time, by name (default: planned here).
    """
    planned = visits or {}

    def by_the_wall(name: str, call: Call) -> Callable[[], float]:
        visit = planned.get(name) or plan_visit(call, sync)
        return lambda: visit.time(call, sync) / visit.calls / 1000

    made = {name: visit_of(call) if visit_of else by_the_wall(name, call) for name, call in calls.items()}
    return alternate(made, budget, baseline)


def alternate(
    visits: Mapping[str, Callable[[], float]], budget: Budget, baseline: str | None = None
) -> dict[str, list[float]]:
    """One value a round for each of `visits`, the mean of its two visits: forward through all of them, then backward.

    Args:
        visits: give the microseconds of one call, by name.
        budget: when to stop.
        baseline: as for `interleave`.
    """
    names = list(visits)
    baseline = baseline or names[0]
    times: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        while True:
            spent = dict.fromkeys(names, 0.0)
            for name in (*names, *reversed(names)):
                spent[name] += visits[name]()
            for name in names:
                times[name].append(spent[name] / 2)
            rounds = len(times[baseline])
            used = time.perf_counter() - begin
            spent_all = used > budget.seconds and rounds >= LEAST_ROUNDS
            if spent_all or used > SPENT * max(budget.seconds, 0.5) or rounds >= budget.most_rounds:
                break
            if rounds >= budget.least_rounds and rounds % 4 == 0:
                base = np.array(times[baseline])
                widths = [width(median_interval(base / np.array(times[n]))) for n in names if n != baseline]
                if max(widths, default=width(median_interval(base))) < budget.width:
                    break
    finally:
        if collecting:
            gc.enable()
    return times


def singles(call: Call, count: int, before: Call = _nothing, sync: Call = _nothing) -> float:
    """Mean microseconds of `count` calls timed one by one, each after `before`, whose own time does not count."""
    spent = 0
    for _ in range(count):
        before()
        spent += _timed(call, 1, sync)
    return spent / count / 1000
