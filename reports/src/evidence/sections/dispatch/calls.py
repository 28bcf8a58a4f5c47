"""What one call of 16 elements costs, cell by cell: how it is timed, and the rows of `dispatch`.

A cell is a mode (`hot`: a tight loop; `gap`: after a pause of 1 ms; `compiled`: a tight loop over a torch.compile'd
function that makes the call), a number of Python threads, and whether OpenMP's workers are idle or spinning. With
several threads the time is wall time over the calls of all threads, so that routes that hold the GIL stay level.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace

from evidence.core.between import Between, Kind
from evidence.core.interval import Interval
from evidence.core.row import TimedStatus
from evidence.core.sampling import Budget, Call, alternate, interleave, plan_visit, settle, singles
from evidence.core.timings import TIME, Gated, Timings, interval_keys, ratio_interval, state, time_interval
from evidence.sections.dispatch.row import DispatchRow

ELEMENTS = 16
GAP_SECONDS = 1e-3
SINGLES = 8  # calls of a visit that are timed one by one
POOL_ELEMENTS = 1 << 20  # PyTorch splits an addition from 2^15 elements on
THREADS_VISIT_US = 4_000  # handing work to the threads costs 100 us, under 3 % of this


def pool_user() -> Call:
    """A call that leaves OpenMP's workers spinning: an addition that PyTorch splits over all of them."""
    a, b, out = (torch.ones(POOL_ELEMENTS) for _ in range(3))
    return lambda: torch.add(a, b, out=out)


def compiled(call: Callable[..., Any]) -> Callable[..., Any]:
    """A torch.compile'd function that makes the call and nothing else.

    Dynamo keeps its cache at the code object: functions that shared one would search each other's entries.
    """

    def function(*tensors: torch.Tensor) -> Any:
        return call(*tensors)

    own = FunctionType(function.__code__.replace(), function.__globals__, call_name(call), None, function.__closure__)
    return torch.compile(own, fullgraph=True)


def call_name(call: Callable[..., Any]) -> str:
    return getattr(call, "__name__", "call")


def measure(cell: dict[str, Any], calls: dict[str, Call], budget: Budget, sync: Call) -> dict[str, list[float]]:
    """Microseconds a call, one value a round, for each of `calls` in one cell."""
    if cell["threads"] > 1:
        return _threaded(calls, cell, budget, sync)
    if cell["openmp"] == "idle" and cell["mode"] != "gap":
        return interleave(calls, budget, sync=sync)
    before = _before(cell)

    def visit(call: Call) -> Callable[[], float]:
        def once() -> float:
            settle()
            call()
            return singles(call, SINGLES, before, sync)

        return once

    return alternate({name: visit(call) for name, call in calls.items()}, budget)


def _before(cell: dict[str, Any]) -> Call:
    pool = pool_user() if cell["openmp"] == "active" else lambda: None
    if cell["mode"] != "gap":
        return pool

    def before() -> None:
        pool()
        time.sleep(GAP_SECONDS)

    return before


def _threaded(calls: dict[str, Call], cell: dict[str, Any], budget: Budget, sync: Call) -> dict[str, list[float]]:
    before = _before(cell)
    with ThreadPoolExecutor(cell["threads"]) as pool:

        def visit(call: Call) -> Callable[[], float]:
            plan = plan_visit(call, sync)
            each = max(
                4, int(THREADS_VISIT_US / max(plan.time(call, sync) / plan.calls / 1000, 0.1)) // cell["threads"]
            )

            def loop(_: int) -> None:
                for _ in range(each):
                    call()

            def once() -> float:
                settle()
                list(pool.map(loop, range(cell["threads"])))
                before()
                begin = time.perf_counter_ns()
                list(pool.map(loop, range(cell["threads"])))
                sync()
                return (time.perf_counter_ns() - begin) / 1000 / each / cell["threads"]

            return once

        return alternate({name: visit(call) for name, call in calls.items()}, budget)


def dispatch_rows(cell: dict[str, Any], timings: Timings, case: dict[str, Any], gated: Gated) -> list[DispatchRow]:
    """Rows of the `dispatch` section for one cell: cost of a call at 16 elements.

    In a compiled function `eager` is the yardstick of the ratios, called as it is, and has no row of its own.
    """
    rows = []
    for route in [*case["routes"], *[g for g in gated if g not in case["routes"]]]:
        if cell["mode"] == "compiled" and route == "eager":
            continue
        time, ratio = time_interval(timings, route), ratio_interval(timings, route, "eager")
        refused = timings.refused.get(route, "was not timed")
        # Dynamo's word for a function that it cannot trace
        failed: TimedStatus = "not supported" if refused.startswith("Unsupported") else "error"
        status, message = state(gated, route, time is not None, failed, refused)
        rows.append(
            DispatchRow(
                route=route,
                op=case["op"],
                elements=16,
                tensors=case["tensors"],
                **cell,
                status=status,
                message=message,
                **interval_keys(time, "median_us", "low_us", "high_us"),
                **interval_keys(ratio, "ratio_to_eager", "ratio_low", "ratio_high"),
                pairs=sum(map(len, timings.times.get(route, []))) or None,
                process_medians_us=tuple(timings.medians(route, TIME)) if time else (),
            )
        )
    return rows


def mark_noisy(rows: list[DispatchRow]) -> list[DispatchRow]:
    """Mark `dispatch` rows whose processes differ by more than those of the route's other cells, as in run time."""

    def kind(row: DispatchRow) -> Kind:
        return Kind(row.route, TIME, "call", row.mode)

    def logs(row: DispatchRow) -> list[float]:
        return list(np.log(row.process_medians_us))

    between = Between((kind(row), logs(row)) for row in rows if row.process_medians_us)
    marked = []
    for row in rows:
        several = len(row.process_medians_us) > 1
        because = between.show(kind(row), Interval(1, 1, 1), logs(row)).noisy if several else None
        marked.append(replace(row, noisy=because is not None, noisy_because=because))
    return marked
