"""The run-time stage: every op, sample and dtype in several fresh processes, and the roof measured beside them."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from evidence.core import text
from evidence.core.case_runner import CaseRunner
from evidence.core.device_clock import cards
from evidence.core.mode import FULL, QUICK, STANDARD
from evidence.core.pack import PARTIAL, RAN
from evidence.core.plan import Plan
from evidence.core.section import declarations
from evidence.core.stage import Run, Stage
from evidence.sections.runtime import roofline
from evidence.sections.runtime.collected import Collected
from evidence.sections.runtime.plan import case_seconds, runtime_cases
from shared_tests.routes import all_routes

TIMEOUT = 600.0
SECONDS = {STANDARD: 300.0, FULL: 780.0, QUICK: 100.0}
"""Of the stage: what later processes shrink their budgets for, down to `LEAST_SHARE`."""
LEAST_SHARE = 0.25
START_SECONDS = 8.0  # of a process before its first case: imports, and in the first one the roof
LEAST_PROCESSES = 2
LIMIT = 420.0
"""Seconds of the stage in a standard run after which a third process begins no further case: two have measured it."""


def estimate(plan: Plan) -> float:
    """Seconds that the stage takes on two cores."""
    return plan.processes * (START_SECONDS + sum(case_seconds(plan, case) for case in runtime_cases(plan)))


def extent(plan: Plan) -> str:
    """What is timed: cases, of how many ops, and in how many processes."""
    cases = runtime_cases(plan)
    ops = {case["op"] for case in cases}
    counts = (len(cases), "case"), (len(ops), "op"), (plan.processes, "process", "processes")
    return "{} of {} in {}".format(*(text.count(*count) for count in counts))


def without_jit(case: dict[str, Any]) -> dict[str, Any]:
    """The case for the later processes of a quick run: loading what compiles would take longer than timing it."""
    return {**case, "routes": [name for name in case["routes"] if not all_routes()[name].jit]}


def with_reference(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The case with the file of its reference, which the first process writes and the others read."""
    name = hashlib.sha256("/".join((case["op"], case["sample"], case["dtype"])).encode()).hexdigest()
    return {**case, "reference": str(folder / "caches" / "references" / f"{name}.pt")}


def share(left: float, processes: int, sampled: float, rest: float) -> float:
    """The share of its budgets that a process gets, so that it and those behind it end in time.

    Args:
        left: seconds until the stage should end.
        processes: that are still to come.
        sampled: seconds that a process samples on its whole budgets.
        rest: seconds of a process beside that.
    """
    return min(1.0, max(LEAST_SHARE, (left / processes - rest) / max(sampled, 1e-3)))


def stage(run: Run) -> None:
    """Run time of every op, sample and dtype, in several fresh processes one after the other.

    Each process visits all cases, so that a case's processes lie minutes apart and what drifts shows between them.
    Where the first one took long, the later ones sample for less.
    """
    plan = run.plan
    collected = Collected(run)
    (run.folder / "caches").mkdir(exist_ok=True)
    library, why_not = roofline.build(run.folder / "caches") if plan.device == "cpu" else (None, None)
    if why_not:
        collected.roof.message = f"PyTorch's own passes only, the fastest ones did not compile: {why_not}"
    top = {"kind": "roofline", "library": library}
    worker = CaseRunner("runtime", plan.device, run.log, run.caches(), TIMEOUT)
    ends = time.time() + LIMIT
    done, begin, budget = 0, time.monotonic(), dict(plan.budget)
    sampled = rest = 0.0
    before = cards() if plan.device == "cuda" else []
    try:
        for process in range(plan.processes):
            collected.process = process
            now = time.monotonic()
            if process:
                left = SECONDS[plan.mode] - (now - begin)
                budget |= {"seconds": plan.budget["seconds"] * share(left, plan.processes - process, sampled, rest)}
            cases = [{**case, "first": process == 0, "budget": budget} for case in collected.timed()]
            if process and plan.quick:
                cases = [without_jit(case) for case in cases]
            if plan.mode == STANDARD:
                cases = [with_reference(case, run.folder) for case in cases]
                if process >= LEAST_PROCESSES:
                    cases = [{**case, "until": ends} for case in cases]
            # A standard run measures the roof in its first process only: with every case it takes half a minute.
            roof = [top] if process == 0 or plan.mode != STANDARD else []
            worker.run([*roof, *cases], collected.heard, collected.lost)
            if process == 0:
                # Later ones find what was compiled in the caches.
                sampled, rest = collected.sampled, time.monotonic() - now - collected.sampled - collected.compiled
            done = process + 1
    except KeyboardInterrupt:
        collected.record(PARTIAL, f"interrupted after {done} of {plan.processes} processes")
        raise
    finally:
        if plan.device == "cuda":
            run.pack.facts("settings")["cards"] = {"before": before, "after": cards()}
    collected.record(RAN, None)
    for _, add_timed_routes in declarations("measure", "add_timed_routes"):
        add_timed_routes(run, _checks_of_jit_routes(collected))
    for _, add_first_calls in declarations("measure", "add_first_calls"):
        add_first_calls(run, _first_calls(collected))


def _checks_of_jit_routes(collected: Collected) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(op, route, dtype) -> counts. JIT routes skip the suite, for half a minute a shape; timed samples are checked."""
    counts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (index, mode), timings in collected.timings.items():
        case = collected.cases[index]
        if mode != "call":
            continue
        for route in case["routes"]:
            if not all_routes()[route].jit or not (route in timings.first or route in timings.refused):
                continue
            key = (case["op"], route, case["dtype"])
            count = counts.setdefault(key, {"passed": 0, "failed": 0, "skipped": 0, "message": None})
            message = timings.refused.get(route)
            count["failed" if message else "passed"] += 1
            count["message"] = count["message"] or message
    return counts


def _first_calls(collected: Collected) -> dict[tuple[str, str], list[float]]:
    """(route, kind) -> seconds in the first process, whose caches were empty and to which every shape was new.

    The first one of an op and dtype stands apart from those of further shapes, since some routes compile once for all.
    """
    runs: dict[tuple[str, str], list[float]] = {}
    seen = set()
    for (index, mode), timings in sorted(collected.timings.items()):
        if mode != "call":
            continue
        for route, seconds in timings.first.items():
            key = (route, collected.cases[index]["op"], collected.cases[index]["dtype"])
            kind = "first_call_new_shape" if key in seen else "first_call"
            seen.add(key)
            if route not in timings.refused and route != "eager":
                runs.setdefault((route, kind), []).append(seconds[0])
    return runs


impossible = roofline.above_roof
"""What ends a run with an error: one sentence for each row that is faster than the machine can be."""

STAGES = (Stage("run time", 60, estimate, stage, ("runtime", "noise", "roofline"), what=extent),)
