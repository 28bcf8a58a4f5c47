"""Thread pools: what OpenMP's threads, which PyTorch uses, and MAX's cost each other, under settings that a user has.

Each setting is a child process of its own, since both libraries read theirs once. A call is timed `alone`, and
`alternating`: each right after a call that used the other pool, whose workers then still spin.
(`MODULAR_THREAD_BUSY_WAIT_US` would be the obvious one; set to anything but 200 it aborts the process in MAX 26.7.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from evidence.core.sampling import Budget, Call, alternate, settle, singles
from evidence.core.timings import Gated, Timings, interval_keys, state, time_interval
from evidence.sections.dispatch.calls import pool_user
from evidence.sections.dispatch.row import PATTERNS, ThreadsRow
from shared_tests.route_table import facts

OTHER_ELEMENTS = 1 << 23  # MAX's kernels split their work from 2^22 elements on


@dataclass(frozen=True)
class Setting:
    """Environment and cores of the child; `narrow` keeps it on one core only while MAX starts its workers."""

    name: str
    what: str
    env: dict[str, str] = field(default_factory=dict)
    one_core: bool = False
    narrow: bool = False


SETTINGS = (
    Setting("default", "both pools as wide as the machine"),
    Setting("OMP_NUM_THREADS=1", "PyTorch stays on the calling thread", {"OMP_NUM_THREADS": "1"}),
    Setting("OMP_WAIT_POLICY=passive", "OpenMP's workers sleep at once", {"OMP_WAIT_POLICY": "passive"}),
    Setting("GOMP_SPINCOUNT=0", "the same for GNU's library alone", {"GOMP_SPINCOUNT": "0"}),
    Setting("one core", "the whole process on one core", one_core=True),
    Setting("MAX on one core", "one core while MAX starts, all of them afterwards: one MAX worker", narrow=True),
    Setting("MODULAR_ENABLE_AFFINITY=1", "MAX pins its workers", {"MODULAR_ENABLE_AFFINITY": "1"}),
)


def settings() -> list[Setting]:
    """Those that this machine can have: with one core there is nothing to narrow."""
    several = len(cores()) > 1 and hasattr(os, "sched_setaffinity")
    return [s for s in SETTINGS if several or not (s.one_core or s.narrow)]


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


@contextmanager
def narrowed(narrow: bool) -> Iterator[None]:
    """This thread on one core; threads that start meanwhile inherit it and keep it."""
    before = cores()
    if narrow:
        os.sched_setaffinity(0, before[:1])
    try:
        yield
    finally:
        if narrow:
            os.sched_setaffinity(0, before)


def measure(calls: dict[str, Call], others: dict[str, Call], pattern: str, budget: Budget) -> dict[str, list[float]]:
    """Microseconds a call, one value a round; `others` are the calls of the other pool, by route."""

    def visit(name: str) -> Callable[[], float]:
        before = others[name] if pattern == "alternating" else lambda: None

        def once() -> float:
            settle()
            calls[name]()
            return singles(calls[name], 6, before)

        return once

    return alternate({name: visit(name) for name in calls}, budget)


def other_pool(route: str, mojo: Callable[..., Any] | None) -> Call:
    """A call that uses the pool that `route` does not: MAX's for PyTorch's threads and back."""
    if facts()[route].needs_max or mojo is None:
        return pool_user()
    a, b, out = (torch.ones(OTHER_ELEMENTS) for _ in range(3))
    return lambda: mojo(a, b, out)


def thread_rows(
    case: dict[str, Any],
    chosen: list[Setting],
    timings: dict[tuple[str, int, str], Timings],
    gated: Gated,
    lost: dict[str, str],
) -> list[ThreadsRow]:
    """The `threads` rows; the ratio to the default is above 1 where the setting is faster."""
    rows = []
    for setting in chosen:
        for elements in case["elements"]:
            for pattern in PATTERNS:
                entry = timings.get((setting.name, elements, pattern))
                if entry is None and setting.name not in lost:
                    continue
                base = timings.get(("default", elements, pattern))
                for route in (*case["routes"], *gated):
                    time = time_interval(entry, route) if entry else None
                    other = time_interval(base, route) if base and setting.name != "default" else None
                    ratio = other.over(time) if other and time else None
                    refused = entry.refused.get(route) if entry else lost[setting.name]
                    status, message = state(gated, route, time is not None, "error", refused or "was not timed")
                    rows.append(
                        ThreadsRow(
                            setting=setting.name,
                            what=setting.what,
                            route=route,
                            op=case["op"],
                            elements=elements,
                            pattern=pattern,
                            status=status,
                            message=message,
                            **interval_keys(time, "median_us", "low_us", "high_us"),
                            **interval_keys(ratio, "ratio_to_default", "ratio_low", "ratio_high"),
                        )
                    )
    return rows
