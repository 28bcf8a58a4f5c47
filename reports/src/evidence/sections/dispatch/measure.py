"""The dispatch lab's stages: what a call costs and is made of, from which size on it pays, and the thread pools."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from evidence.core import text
from evidence.core.case_runner import CaseRunner
from evidence.core.gate import close
from evidence.core.mode import STANDARD
from evidence.core.plan import Plan
from evidence.core.recorded import KERNELS, TOOLCHAINS, Recorded
from evidence.core.stage import Run, Stage
from evidence.core.timings import Timings
from evidence.sections.dispatch import ladder, noop, pools, waterfall
from evidence.sections.dispatch.calls import dispatch_rows, mark_noisy
from evidence.sections.dispatch.listener import Listener, keep, recording
from evidence.sections.dispatch.plan import (
    dispatch_cases,
    lab_processes,
    ladder_cases,
    ladder_processes,
    pool_case,
    waterfall_case,
)
from evidence.sections.dispatch.row import CrossoverRow, DispatchRow
from evidence.sections.dispatch.waterfall_parts import waterfall_rows

TIMEOUT = 300.0
LEFT_OUT = "measured by --full only"
NO_OP = "none of the dispatch lab's ops is in this run"


def _thread_key(setting: str, line: dict[str, Any], _: int) -> tuple[str, int, str]:
    elements, pattern = line["threads"]
    return setting, elements, pattern


def stage_dispatch(run: Run) -> None:
    """Cells of mode, threads and OpenMP for 1, 2, 4 and 8 tensors, in fresh processes."""
    plan = run.plan
    cases = dispatch_cases(plan)
    if not cases:
        run.pack.skip("dispatch", NO_OP)
        return
    gated = [close(run, case) for case in cases]
    timings: dict[tuple[int, str, int, str], Timings] = {}
    lost: dict[int, str] = {}

    def record(done: bool) -> None:
        rows: list[DispatchRow] = []
        for index, case in enumerate(cases):
            for cell in case["cells"]:
                entry = timings.get((index, *cell.values()))
                if entry is None and index in lost:
                    entry = Timings(refused=dict.fromkeys(case["routes"], lost[index]))
                if entry is not None:
                    rows += dispatch_rows(cell, entry, case, gated[index])
        keep(run, "dispatch", mark_noisy(rows), done)

    worker = CaseRunner("dispatch", plan.device, run.log, run.caches(), TIMEOUT)
    with recording(record):
        for process in range(lab_processes(plan)):
            listener = Listener(run, timings, lambda line, index: (index, *line["cell"].values()))
            listener.begin(process)
            run.tell(f"dispatch lab (process {process + 1} of {lab_processes(plan)})", 25)
            worker.run(cases, listener.heard, listener.lost)
            lost |= listener.reasons
            record(False)


def stage_waterfall(run: Run) -> None:
    """What the 16-element call of two tensors is made of, route by route."""
    plan = run.plan
    if not plan.full or "add" not in plan.ops:
        run.pack.skip("waterfall", NO_OP if plan.full else LEFT_OUT)
        return
    case = waterfall_case(plan)
    gated = close(run, case)
    kinds = [k for k, users in ((noop.STABLE, ("cpp", "mojo", "mojo_aot")), (noop.CLASSIC, ("cpp_classic",)))
             if set(users) & set(case["routes"])]  # fmt: skip
    folder = run.folder / "caches" / "noop"
    folder.mkdir(parents=True, exist_ok=True)
    case["libraries"], failed = noop.build(kinds, folder, run.tell)
    cases = [{**case, "half": half} for half in (waterfall.ROUTES, waterfall.ENGINE)]
    timings: dict[int, Timings] = {}
    reasons: list[str] = list(failed.values())

    def record(done: bool) -> None:
        whole = Timings()
        for index in sorted(timings, reverse=True):  # what both halves have is the first one's
            whole.times |= timings[index].times
            whole.refused |= timings[index].refused
        keep(run, "waterfall", waterfall_rows(whole, case["routes"], gated, "; ".join(reasons) or None), done)

    with recording(record):
        for index, half in enumerate(cases):
            listener = Listener(run, timings, functools.partial(_half_key, index))
            worker = CaseRunner("dispatch", plan.device, run.log, run.caches(), TIMEOUT)
            run.tell(f"waterfall of a 16-element call ({half['half']})", 15)
            worker.run([half], listener.heard, listener.lost)
            reasons += listener.reasons.values()


def _half_key(index: int, *_: Any) -> int:
    return index


def stage_crossover(run: Run) -> None:
    """Every op on a ladder of sizes."""
    plan = run.plan
    cases = ladder_cases(plan)
    if plan.mode == STANDARD:
        run.pack.skip("crossover", LEFT_OUT)
        return
    if not cases:
        run.pack.skip("crossover", "add, the op of the quick ladder, is not among the ops of this run")
        return
    gated = [close(run, case) for case in cases]
    timings: dict[tuple[int, int], Timings] = {}
    listener = Listener(run, timings, lambda line, index: (index, line["crossover"]))

    def listen(line: dict[str, Any]) -> None:
        if "begin" in line:
            process = f"process {listener.process + 1} of {ladder_processes(plan)}"
            run.tell(f"crossover of {line['begin']['op']} ({process})", 10)
        listener.heard(line)

    def record(done: bool) -> None:
        rows: list[CrossoverRow] = []
        for index, case in enumerate(cases):
            sizes = {elements: entry for (i, elements), entry in timings.items() if i == index}
            if reason := listener.reasons.get(index):
                sizes.setdefault(0, Timings(refused=dict.fromkeys(case["routes"], reason)))
            if sizes or done:
                rows += ladder.rows(case["op"], sizes, gated[index], case["routes"])
        keep(run, "crossover", rows, done)

    with recording(record):
        for process in range(ladder_processes(plan)):
            listener.begin(process)
            worker = CaseRunner("dispatch", plan.device, run.log, run.caches(), TIMEOUT)
            worker.run(cases, listen, listener.lost)
            record(False)


def stage_threads(run: Run) -> None:
    """The pools of OpenMP and MAX under each setting, in a child process a setting."""
    plan = run.plan
    case = pool_case(plan)
    if not plan.full or case["op"] not in plan.ops:
        run.pack.skip("threads", NO_OP if plan.full else LEFT_OUT)
        return
    gated = close(run, case)
    timings: dict[tuple[str, int, str], Timings] = {}
    lost: dict[str, str] = {}
    chosen = pools.settings()

    def record(done: bool) -> None:
        keep(run, "threads", pools.thread_rows(case, chosen, timings, gated, lost), done)

    with recording(record):
        # The default comes first and last: its interval then holds the spread between processes.
        for setting in (*chosen, chosen[0]):
            run.tell(f"thread pools: {setting.name}", 8)
            listener = Listener(run, timings, functools.partial(_thread_key, setting.name))
            cores = pools.cores()[:1] if setting.one_core else None
            worker = CaseRunner("dispatch", plan.device, run.log, run.caches() | setting.env, TIMEOUT, cores)
            worker.run([{**case, "narrow": setting.narrow, "setting": setting.name}], listener.heard, listener.lost)
            if listener.reasons:
                lost[setting.name] = listener.reasons[0]
            record(False)


def _lab_seconds(plan: Plan) -> float:
    """Of the dispatch lab on two cores: importing and compiling in each process, then the cells."""
    cells = sum(len(case["cells"]) * case["budget"]["seconds"] for case in dispatch_cases(plan))
    return lab_processes(plan) * ((22 if plan.full else 7) + cells)


def _lab_extent(plan: Plan) -> str:
    return f"calls of 1 to 8 tensors in {text.count(lab_processes(plan), 'process', 'processes')}"


def _ladder_seconds(plan: Plan) -> float:
    """Of the crossover on two cores."""
    return 0.0 if plan.mode == STANDARD else 46.0 * ladder_processes(plan) if plan.full else 12.0


def _of_full(seconds: float) -> Callable[[Plan], float]:
    """The estimate of a stage that only a full run measures."""
    return lambda plan: seconds if plan.full else 0.0


OF_THIS_MACHINE = Recorded((*KERNELS, "reports/src/evidence/sections/dispatch/*"), (*TOOLCHAINS, "numpy"), ("key",))
"""Timed by full runs; a standard run on a machine of the same kind takes these rows over and never measures them."""

STAGES = (
    Stage("dispatch lab", 70, _lab_seconds, stage_dispatch, ("dispatch",), what=_lab_extent),
    Stage("waterfall", 80, _of_full(54), stage_waterfall, ("waterfall",), recorded=OF_THIS_MACHINE),
    Stage("crossover", 90, _ladder_seconds, stage_crossover, ("crossover",), recorded=OF_THIS_MACHINE),
    Stage("thread pools", 100, _of_full(42), stage_threads, ("threads",), recorded=OF_THIS_MACHINE),
)
