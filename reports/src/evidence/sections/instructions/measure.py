"""The stage that counts the instructions of small calls, in two processes that must agree."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from evidence.core.child import Child, Silent
from evidence.core.gate import close
from evidence.core.machine import ROOT
from evidence.core.pack import Row
from evidence.core.plan import Plan
from evidence.core.recorded import KERNELS, Recorded
from evidence.core.stage import Run, Stage
from evidence.core.thresholds import SMALL_ELEMENTS
from evidence.core.timings import Gated
from evidence.sections.instructions import callgrind
from evidence.sections.instructions.perf import Counter, Unavailable
from evidence.sections.instructions.program import CALLS
from evidence.sections.instructions.row import InstructionRow
from shared_tests.spec import all_specs

Tool = Literal["perf", "callgrind"]
Key = tuple[str, str]
"""Op and route."""

PROCESSES = 2
TOLERANCE = 0.01
"""Two processes agree when their counts differ by no more: dictionaries and allocators depend on addresses."""

ROUTES = ("eager", "cpp", "mojo_aot")
IN_ITS_OWN_THREADS = (
    "MAX's engine runs the kernel in threads of its own, which also execute instructions while they wait: the count of "
    "a call would say how long it waited"
)
COUNTED = "the calling thread, with one thread for PyTorch's pool"
SILENCE = 300.0  # seconds without a line: importing PyTorch under callgrind takes one to two minutes
SECONDS: dict[Tool | None, float] = {None: 0.0, "perf": 12.0, "callgrind": 300.0}


def choose(plan: Plan) -> tuple[Tool | None, str]:
    """What can count here, or why nothing does."""
    if plan.device != "cpu":
        return None, "instructions are counted for calls on the CPU only"
    try:
        Counter()
    except Unavailable as unavailable:
        why = str(unavailable)
    else:
        return "perf", ""
    if shutil.which("valgrind") is None:
        return None, f"{why}; valgrind, whose callgrind could count, is not installed"
    if not plan.full:
        return None, f"{why}; callgrind could count, which takes minutes: a full run does it"
    return "callgrind", why


def cases_of(plan: Plan) -> list[dict[str, Any]]:
    """The smallest sample of each op that has a small one, in the op's first dtype."""
    cases = []
    for op in plan.compared_ops():
        spec = all_specs()[op]
        sample = min(spec.bench_samples, key=lambda sample: sample.elements)
        if sample.elements <= SMALL_ELEMENTS and not spec.mutates:
            cases.append({
                "op": op, "sample": sample.id, "elements": sample.elements,
                "dtype": str(spec.dtypes[0]).removeprefix("torch."),
                "routes": [route for route in (*ROUTES, "mojo") if route in plan.routes],
            })  # fmt: skip
    return cases


class Counts:
    """Instructions of a call by op and route, a value a process, and why there is none."""

    def __init__(self) -> None:
        self.instructions: dict[Key, list[float]] = defaultdict(list)
        self.reasons: dict[Key, str] = {}

    def add(self, lines: list[dict[str, Any]], dumped: list[int] | None) -> None:
        """The lines of a process; `dumped` are callgrind's counts, in their order.

        A route's count is that of `CALLS` calls less that of as many calls that do nothing.
        """
        empty = 0.0
        dumps = iter(dumped or ())
        for line in lines:
            if "case" not in line:
                continue
            if "error" in line:
                self.reasons[line["case"]["op"], line["case"]["route"]] = line["error"]
                continue
            count = next(dumps, None) if dumped is not None else line["count"]
            if count is None:
                continue
            if line["case"] is None:
                empty = count
                continue
            self.instructions[line["case"]["op"], line["case"]["route"]].append((count - empty) / CALLS)

    def lost(self, cases: list[dict[str, Any]], route: str, reason: str) -> None:
        """A route ended the process: its ops have no count."""
        for case in cases:
            if route in case["routes"]:
                self.reasons[case["op"], route] = reason


def row(case: dict[str, Any], route: str, counts: Counts, tool: Tool, gated: Gated) -> InstructionRow:
    """A route's count, or the reason that there is none."""
    shared: dict[str, Any] = {name: case[name] for name in ("op", "dtype", "sample", "elements")}
    values = counts.instructions.get((case["op"], route), [])
    if route in gated:
        return InstructionRow(**shared, route=route, message=gated[route][1])
    if route not in ROUTES:
        return InstructionRow(**shared, route=route, message=IN_ITS_OWN_THREADS)
    if not values:
        reason = counts.reasons.get((case["op"], route), "the process did not reach it")
        return InstructionRow(**shared, route=route, tool=tool, message=reason)
    low, high = min(values), max(values)
    repeats = high <= low * (1 + TOLERANCE) if len(values) > 1 else None
    message = None
    if repeats is False:
        message = f"{len(values)} processes differ by {high / low - 1:.1%}, more than {TOLERANCE:.0%}"
    return InstructionRow(
        **shared, route=route, tool=tool, counted=COUNTED, instructions=statistics.median(values), low=low, high=high,
        repeats=repeats, processes=len(values), message=message,
    )  # fmt: skip


def count(run: Run, tool: Tool, cases: list[dict[str, Any]], counts: Counts, folder: Path) -> None:
    """Add the counts of one process; a route that ends it is left out of `cases`, and the others are counted again."""
    env = run.caches() | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    while any(case["routes"] for case in cases):
        out = folder / f"callgrind-{len(list(folder.iterdir()))}"
        program = [sys.executable, "-m", "evidence.sections.instructions.program",
                   json.dumps({"tool": tool, "cases": cases})]  # fmt: skip
        prefix = callgrind.command(shutil.which("valgrind") or "valgrind", out) if tool == "callgrind" else []
        lines: list[dict[str, Any]] = []
        with Child([*prefix, *program], ROOT, env, lines=True) as child:
            try:
                lines.extend(child.lines(SILENCE))
                reason = None if child.code == 0 else callgrind.crash(child.code or 0, child.output())
            except Silent as silent:
                reason = str(silent)
            with run.log.open("a") as log:
                log.write(child.output())
        begun = next((line["begin"] for line in reversed(lines) if "begin" in line), None)
        if reason is None:
            counts.add(lines, callgrind.counts(out) if tool == "callgrind" else None)
            return
        if begun is None:
            for route in ROUTES:
                counts.lost(cases, route, reason)
            return
        counts.lost(cases, begun["route"], reason)
        for case in cases:
            case["routes"] = [route for route in case["routes"] if route != begun["route"]]


def stage(run: Run) -> None:
    """Small calls in two processes, by what this machine has."""
    tool, why = choose(run.plan)
    if tool is None:
        run.pack.skip("instructions", f"not available: {why}")
        return
    cases = cases_of(run.plan)
    gated = [close(run, case) for case in cases]
    planned = [[*case["routes"], *closed] for case, closed in zip(cases, gated, strict=True)]
    for case in cases:
        case["routes"] = [route for route in case["routes"] if route in ROUTES]
    counts = Counts()
    folder = run.folder / "caches" / "instructions"
    folder.mkdir(parents=True, exist_ok=True)
    for process in range(PROCESSES):
        run.tell(f"instructions by {tool} (process {process + 1} of {PROCESSES})", SECONDS[tool] / PROCESSES)
        count(run, tool, cases, counts, folder)
    rows = [
        row(case, route, counts, tool, closed)
        for case, closed, routes in zip(cases, gated, planned, strict=True)
        for route in routes
    ]
    run.pack.set_rows("instructions", rows)


def estimate(plan: Plan) -> float:
    """Seconds that the stage takes on two cores."""
    return SECONDS[choose(plan)[0]]


def is_of(plan: Plan, row: Row) -> bool:
    """Whether a row belongs to a run with this plan."""
    return row["route"] in plan.routes and row["op"] in plan.ops


def is_counted(row: Row) -> bool:
    """Whether a row has its count: another build may have what this one lacks."""
    return row["instructions"] is not None or row["route"] not in ROUTES


RECORDED = Recorded(
    sources=(*KERNELS, "shared_tests/ops/*.py", "reports/src/evidence/sections/instructions/*.py"),
    machine=("architecture", "cpu"),
    environment=("CPP_EXT_MARCH", "MOJO_OPS_MARCH", "ATEN_CPU_CAPABILITY"),
    belongs=is_of,
    complete=is_counted,
)

STAGES = (Stage("instructions", 95, estimate, stage, ("instructions",), recorded=RECORDED),)
