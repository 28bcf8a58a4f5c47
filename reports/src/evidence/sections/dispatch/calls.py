"""Dispatch lab, in the measuring process: what one call of 16 elements costs, cell by cell.

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

import torch

from evidence.core.sampling import Budget, Call, alternate, interleave, plan_visit, settle, singles

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
            one = plan_visit(call, sync)
            each = max(4, int(THREADS_VISIT_US / max(one.time(call, sync) / one.calls / 1000, 0.1)) // cell["threads"])

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
