"""The run-time stage: every op, sample and dtype in several fresh processes, and the roof measured beside them."""

from __future__ import annotations

import time
from typing import Any

from evidence.core.device_clock import cards
from evidence.core.gate import gates
from evidence.core.pack import PARTIAL, RAN, write_raw
from evidence.core.plan import Plan
from evidence.core.stage import Run, Stage
from evidence.core.timings import Found, Worker, runtime_rows, spreads
from evidence.sections.build.stages import row
from evidence.sections.runtime import roofline
from shared_tests.routes import all_routes

TIMEOUT = 600.0
FULL_SECONDS, QUICK_SECONDS = 780.0, 100.0  # what later processes shrink their budgets for, down to LEAST_SHARE
LEAST_SHARE = 0.25
SETUP_SECONDS = 1.2  # of a case beside its sampling: arguments, references, checks, the roof


def estimate(plan: Plan) -> float:
    """Seconds that the stage takes on two cores."""
    return len(plan.cases()) * plan.processes * (2 * plan.budget["seconds"] + SETUP_SECONDS)


def without_jit(case: dict[str, Any]) -> dict[str, Any]:
    """The case for the later processes of a quick run: loading what compiles would take longer than timing it."""
    return {**case, "routes": [name for name in case["routes"] if not all_routes()[name].jit]}


def share(left: float, processes: int, sampled: float, rest: float) -> float:
    """The share of its budgets that a process gets, so that it and those behind it end in time.

    Args:
        left: seconds until the stage should end.
        processes: that are still to come.
        sampled: seconds that a process samples on its whole budgets.
        rest: seconds of a process beside that.
    """
    return min(1.0, max(LEAST_SHARE, (left / processes - rest) / max(sampled, 1e-3)))


class Collected:
    """What the processes said, by case and mode; gives the rows of `runtime`, `noise` and `roofline`."""

    def __init__(self, run: Run):
        self.run, self.plan = run, run.plan
        self.cases = self.plan.cases()
        self.closed = [gates(run.pack.rows("correctness"), run.not_built, case) for case in self.cases]
        for case, gated in zip(self.cases, self.closed, strict=True):
            for key in ("routes", "kernel_routes"):
                case[key] = [r for r in case.get(key, []) if r not in gated]
        self.found: dict[tuple[int, str], Found] = {}
        self.roof = roofline.Roof(self.plan.device)
        self.process = self.index = -1
        self.sampled = self.compiled = 0.0

    def heard(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            case = line["begin"]
            if case["kind"] == "roofline":
                self.run.tell(f"roofline (process {self.process + 1} of {self.plan.processes})")
                return
            self.index = next(i for i, known in enumerate(self.cases) if _names(known) == _names(case))
            name = f"{case['op']} {case['sample']} {case['dtype']}"
            seconds = 2 * self.plan.budget["seconds"] + SETUP_SECONDS
            self.run.tell(f"time: {name} (process {self.process + 1} of {self.plan.processes})", seconds)
            return
        self.run.raw.append({"process": self.process, **line})
        if "roofline" in line:
            self.roof.add(line["copies"], line["products"])
            return
        self.sampled += line.get("sampled", 0.0)
        jit = {name for name, route in all_routes().items() if route.jit}
        self.compiled += sum(seconds for route, seconds in line["first"].items() if route in jit)
        if "roof" in line:
            self.roof.add([line["roof"]])
        self.found.setdefault((self.index, line["mode"]), Found()).add(line)

    def timed(self) -> list[dict[str, Any]]:
        """The cases without those that a process has left out: another one would find them as long."""
        gone = {index for (index, _), entry in self.found.items() if entry.left_out}
        return [case for index, case in enumerate(self.cases) if index not in gone]

    def lost(self, case: dict[str, Any], reason: str) -> None:
        if case["kind"] == "roofline":
            self.roof.message = f"worker: {reason}"
            return
        index = next(i for i, known in enumerate(self.cases) if _names(known) == _names(case))
        for mode in case["modes"]:
            entry = self.found.setdefault((index, mode), Found())
            for route in case["routes"]:
                entry.refused.setdefault(route, f"worker: {reason}")

    def record(self, status: str, reason: str | None) -> None:
        """Put what was measured so far into the pack."""
        done = sorted(self.found.items())
        between = spreads((self.cases[index], mode, entry) for (index, mode), entry in done)
        rows = [
            row
            for (index, mode), entry in done
            for row in runtime_rows(
                self.cases[index], mode, entry, self.plan.device, self.closed[index], between, self.roof
            )
        ]
        pack = self.run.pack
        pack.set_rows("runtime", rows, status, reason)
        processes = max((len(runs) for _, entry in done for runs in entry.times.values()), default=0)
        pack.set_rows("noise", between.noise_rows(self.plan.device, processes), status, reason)
        if self.roof.copies:
            pack.set_rows("roofline", self.roof.rows(), status, reason)
        else:
            pack.skip("roofline", self.roof.message or reason or "no process measured it")
        write_raw(self.run.folder, self.run.raw)


def _names(case: dict[str, Any]) -> tuple[str, str, str]:
    return case["op"], case["sample"], case["dtype"]


def stage(run: Run) -> None:
    """Run time of every op, sample and dtype, in several fresh processes one after the other.

    Each process visits all cases, so that a case's processes lie minutes apart and what drifts shows between them.
    Where the first one took long, the later ones sample for less.
    """
    plan = run.plan
    all_of = Collected(run)
    (run.folder / "caches").mkdir(exist_ok=True)
    library, why_not = roofline.build(run.folder / "caches") if plan.device == "cpu" else (None, None)
    if why_not:
        all_of.roof.message = f"PyTorch's own passes only, the fastest ones did not compile: {why_not}"
    top = {"kind": "roofline", "library": library}
    worker = Worker(plan.device, run.log, run.caches(), TIMEOUT)
    done, begin, budget = 0, time.monotonic(), dict(plan.budget)
    sampled = rest = 0.0
    before = cards() if plan.device == "cuda" else []
    try:
        for process in range(plan.processes):
            all_of.process = process
            now = time.monotonic()
            if process:
                left = (QUICK_SECONDS if plan.quick else FULL_SECONDS) - (now - begin)
                budget |= {"seconds": plan.budget["seconds"] * share(left, plan.processes - process, sampled, rest)}
            cases = [{**case, "first": process == 0, "budget": budget} for case in all_of.timed()]
            if process and plan.quick:
                cases = [without_jit(case) for case in cases]
            worker.run([top, *cases], all_of.heard, all_of.lost)
            if process == 0:
                # Later ones find what was compiled in the caches.
                sampled, rest = all_of.sampled, time.monotonic() - now - all_of.sampled - all_of.compiled
            done = process + 1
    except KeyboardInterrupt:
        all_of.record(PARTIAL, f"interrupted after {done} of {plan.processes} processes")
        raise
    finally:
        worker.stop()
        if plan.device == "cuda":
            run.pack.facts("settings")["cards"] = {"before": before, "after": cards()}
    all_of.record(RAN, None)
    _add_jit_correctness(run, all_of.cases, all_of.found)
    _add_first_calls(run, all_of.cases, all_of.found)


def _add_jit_correctness(run: Run, cases: list[dict], found: dict[tuple[int, str], Found]) -> None:
    """JIT routes skip the suite (half a minute a shape): their results are checked on every timed sample instead."""
    rows = run.pack.rows("correctness")
    counts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (index, mode), entry in found.items():
        case = cases[index]
        if mode != "call":
            continue
        for route in case["routes"]:
            if not all_routes()[route].jit or not (route in entry.first or route in entry.refused):
                continue
            key = (case["op"], route, case["dtype"])
            count = counts.setdefault(key, {"passed": 0, "failed": 0, "skipped": 0, "message": None})
            message = entry.refused.get(route)
            count["failed" if message else "passed"] += 1
            count["message"] = count["message"] or message
    added = [
        {"op": op, "route": route, "dtype": dtype, "device": run.plan.device, **count}
        for (op, route, dtype), count in counts.items()
    ]
    run.pack.set_rows("correctness", [*rows, *added])


def _add_first_calls(run: Run, cases: list[dict], found: dict[tuple[int, str], Found]) -> None:
    """First calls in the first process, from the run-time cases: caches were empty and every shape was new.

    The first one of an op and dtype stands apart from those of further shapes, since some routes compile once for all.
    """
    runs: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
    seen = set()
    for (index, mode), entry in sorted(found.items()):
        if mode != "call":
            continue
        for route, seconds in entry.first.items():
            key = (route, cases[index]["op"], cases[index]["dtype"])
            kind = "first_call_new_shape" if key in seen else "first_call"
            seen.add(key)
            if route not in entry.refused and route != "eager":
                runs.setdefault((route, kind), []).append((seconds[0], None))
    rows = run.pack.rows("build") + [row(route, kind, some) for (route, kind), some in runs.items()]
    run.pack.set_rows("build", rows, run.pack.section_status("build"), run.pack.reason("build"))


STAGES = (Stage("run time", 60, estimate, stage, ("runtime", "noise", "roofline")),)
