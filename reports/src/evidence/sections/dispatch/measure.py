"""The dispatch lab's stages: what a call costs and is made of, from which size on it pays, and the thread pools."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from evidence.core.gate import Gated, gates
from evidence.core.pack import PARTIAL, RAN, write_raw
from evidence.core.sampling import Interval, median_interval
from evidence.core.stage import Run, Stage
from evidence.core.timings import (
    Found,
    Worker,
    dispatch_rows,
    interval_keys,
    mark_noisy,
    time_interval,
)
from evidence.sections.dispatch import ladder, noop, pools, waterfall
from evidence.sections.dispatch.waterfall_parts import FORM_PARTS, GAP_PARTS, PARTS, evaluate

Row = dict[str, Any]
TIMEOUT = 300.0
NO_OP = "none of the dispatch lab's ops is in this run"


def closed(run: Run, case: dict[str, Any]) -> Gated:
    """Takes the routes that may not be timed out of a case, and gives their reasons."""
    gated = gates(run.pack.rows("correctness"), run.not_built, case)
    case["routes"] = [r for r in case["routes"] if r not in gated]
    return gated


class Listener:
    """Hears a Worker: lines go into `found` under `key(line, case index)`, lost cases leave their reason."""

    def __init__(self, run: Run, found: dict[Any, Found], key: Callable[[dict[str, Any], int], Any]):
        self.run, self.found, self.key = run, found, key
        self.reasons: dict[int, str] = {}
        self.begin(0)

    def begin(self, process: int) -> None:
        """A fresh process begins with the first case again."""
        self.process, self.index = process, -1
        self.begun: dict[str, Any] | None = None

    def heard(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            self.index += 1
            self.begun = line["begin"]
            return
        self.found.setdefault(self.key(line, self.index), Found()).add(line)
        self.run.raw.append({"process": self.process, **line})

    def lost(self, case: dict[str, Any], reason: str) -> None:
        if self.begun != case:  # the process ended before it got there
            self.index += 1
        self.reasons[self.index] = f"worker: {reason}"


def keep(run: Run, section: str, rows: list[Row], done: bool) -> None:
    """Put what was measured so far into the pack, and the raw samples beside it."""
    run.pack.set_rows(section, rows, RAN if done else PARTIAL, None if done else "interrupted")
    write_raw(run.folder, run.raw)


def _thread_key(setting: str, line: dict[str, Any], _: int) -> tuple[str, int, str]:
    elements, pattern = line["threads"]
    return setting, elements, pattern


def stage_dispatch(run: Run) -> None:
    """Cells of mode, threads and OpenMP for 1, 2, 4 and 8 tensors, in fresh processes."""
    plan = run.plan
    cases = plan.dispatch_cases()
    if not cases:
        run.pack.skip("dispatch", NO_OP)
        return
    gated = [closed(run, case) for case in cases]
    found: dict[tuple[int, str, int, str], Found] = {}
    lost: dict[int, str] = {}

    def record(done: bool) -> None:
        rows: list[Row] = []
        for index, case in enumerate(cases):
            for cell in case["cells"]:
                entry = found.get((index, *cell.values()))
                if entry is None and index in lost:
                    entry = Found(refused=dict.fromkeys(case["routes"], lost[index]))
                if entry is not None:
                    rows += dispatch_rows(cell, entry, case, gated[index])
        keep(run, "dispatch", mark_noisy(rows), done)

    worker = Worker(plan.device, run.log, run.caches(), TIMEOUT)
    try:
        for process in range(plan.lab_processes):
            listener = Listener(run, found, lambda line, index: (index, *line["cell"].values()))
            listener.begin(process)
            run.tell(f"dispatch lab (process {process + 1} of {plan.lab_processes})", 25)
            worker.run(cases, listener.heard, listener.lost)
            lost |= listener.reasons
            record(False)
    except KeyboardInterrupt:
        record(False)
        raise
    finally:
        worker.stop()
    record(True)


def stage_waterfall(run: Run) -> None:
    """What the 16-element call of two tensors is made of, route by route."""
    plan = run.plan
    if plan.quick or "add" not in plan.ops:
        run.pack.skip("waterfall", "--quick leaves it out" if plan.quick else NO_OP)
        return
    case = plan.waterfall_case()
    gated = closed(run, case)
    kinds = [k for k, users in ((noop.STABLE, ("cpp", "mojo", "mojo_aot")), (noop.CLASSIC, ("cpp_classic",)))
             if set(users) & set(case["routes"])]  # fmt: skip
    folder = run.folder / "caches" / "noop"
    folder.mkdir(parents=True, exist_ok=True)
    case["libraries"], failed = noop.build(kinds, folder, run.tell)
    cases = [{**case, "half": half} for half in (waterfall.ROUTES, waterfall.ENGINE)]
    found: dict[int, Found] = {}
    reasons: list[str] = list(failed.values())

    def record(done: bool) -> None:
        whole = Found()
        for index in sorted(found, reverse=True):  # what both halves have is the first one's
            whole.times |= found[index].times
            whole.refused |= found[index].refused
        keep(run, "waterfall", waterfall_rows(whole, case["routes"], gated, "; ".join(reasons) or None), done)

    try:
        for index, half in enumerate(cases):
            listener = Listener(run, found, functools.partial(_half_key, index))
            worker = Worker(plan.device, run.log, run.caches(), TIMEOUT)
            run.tell(f"waterfall of a 16-element call ({half['half']})", 15)
            try:
                worker.run([half], listener.heard, listener.lost)
            finally:
                worker.stop()
            reasons += listener.reasons.values()
    except KeyboardInterrupt:
        record(False)
        raise
    record(True)


def _half_key(index: int, *_: Any) -> int:
    return index


def waterfall_rows(entry: Found, routes: list[str], gated: Gated, message: str | None = None) -> list[Row]:
    """The `waterfall` rows of the routes that were asked for; a part that has no time says why."""
    times = {name: runs[0] for name, runs in entry.times.items() if runs}
    rows: list[Row] = []
    for part in (*PARTS, *FORM_PARTS, *GAP_PARTS):
        if part.route not in (*routes, *gated):
            continue
        values = evaluate(part, times)
        status, why = gated.get(part.route, ("ok", None))
        if values is None and status == "ok":
            absent = [entry.refused[name] for _, name in part.terms if name in entry.refused]
            status, why = "error", (absent or [message or "was not timed"])[0]
        rows.append({
            "route": part.route, "part": part.name, "kind": part.kind, "context": part.context, "how": part.how,
            **interval_keys(median_interval(values) if values else None, "median_us", "low_us", "high_us"),
            "status": status, "message": why,
        })  # fmt: skip
    return rows


def stage_crossover(run: Run) -> None:
    """Every op on a ladder of sizes."""
    plan = run.plan
    cases = plan.ladder_cases()
    if not cases:
        run.pack.skip("crossover", "add, the op of the quick ladder, is not among the ops of this run")
        return
    gated = [closed(run, case) for case in cases]
    found: dict[tuple[int, int], Found] = {}
    listener = Listener(run, found, lambda line, index: (index, line["crossover"]))

    def listen(line: dict[str, Any]) -> None:
        if "begin" in line:
            process = f"process {listener.process + 1} of {plan.ladder_processes}"
            run.tell(f"crossover of {line['begin']['op']} ({process})", 10)
        listener.heard(line)

    def record(done: bool) -> None:
        rows: list[Row] = []
        for index, case in enumerate(cases):
            sizes = {elements: entry for (i, elements), entry in found.items() if i == index}
            if reason := listener.reasons.get(index):
                sizes.setdefault(0, Found(refused=dict.fromkeys(case["routes"], reason)))
            if sizes or done:
                rows += ladder.rows(case["op"], sizes, gated[index], case["routes"])
        keep(run, "crossover", rows, done)

    try:
        for process in range(plan.ladder_processes):
            listener.begin(process)
            worker = Worker(plan.device, run.log, run.caches(), TIMEOUT)
            try:
                worker.run(cases, listen, listener.lost)
            finally:
                worker.stop()
            record(False)
    except KeyboardInterrupt:
        record(False)
        raise
    record(True)


def stage_threads(run: Run) -> None:
    """The pools of OpenMP and MAX under each setting, in a child process a setting."""
    plan = run.plan
    case = plan.pool_case()
    if plan.quick or case["op"] not in plan.ops:
        run.pack.skip("threads", "--quick leaves it out" if plan.quick else NO_OP)
        return
    gated = closed(run, case)
    found: dict[tuple[str, int, str], Found] = {}
    lost: dict[str, str] = {}
    chosen = pools.settings()

    def record(done: bool) -> None:
        keep(run, "threads", thread_rows(case, chosen, found, gated, lost), done)

    try:
        # The default comes first and last: its interval then holds the spread between processes.
        for setting in (*chosen, chosen[0]):
            run.tell(f"thread pools: {setting.name}", 8)
            listener = Listener(run, found, functools.partial(_thread_key, setting.name))
            cores = pools.cores()[:1] if setting.one_core else None
            worker = Worker(plan.device, run.log, run.caches() | setting.env, TIMEOUT, cores)
            try:
                worker.run([{**case, "narrow": setting.narrow, "setting": setting.name}], listener.heard, listener.lost)
            finally:
                worker.stop()
            if listener.reasons:
                lost[setting.name] = listener.reasons[0]
            record(False)
    except KeyboardInterrupt:
        record(False)
        raise
    record(True)


def thread_rows(
    case: dict[str, Any],
    chosen: list[pools.Setting],
    found: dict[tuple[str, int, str], Found],
    gated: Gated,
    lost: dict[str, str],
) -> list[Row]:
    """The `threads` rows; the ratio to the default is above 1 where the setting is faster."""
    rows: list[Row] = []
    for setting in chosen:
        for elements in case["elements"]:
            for pattern in ("alone", "alternating"):
                entry = found.get((setting.name, elements, pattern))
                if entry is None and setting.name not in lost:
                    continue
                base = found.get(("default", elements, pattern))
                for route in (*case["routes"], *gated):
                    time = time_interval(entry, route) if entry else None
                    other = time_interval(base, route) if base and setting.name != "default" else None
                    ratio = over(other, time) if other and time else None
                    refused = entry.refused.get(route) if entry else lost[setting.name]
                    status, message = gated.get(route, ("ok", None) if time else ("error", refused or "was not timed"))
                    rows.append({
                        "setting": setting.name, "what": setting.what, "route": route, "op": case["op"],
                        "elements": elements, "pattern": pattern, "status": status, "message": message,
                        **interval_keys(time, "median_us", "low_us", "high_us"),
                        **interval_keys(ratio, "ratio_to_default", "ratio_low", "ratio_high"),
                    })  # fmt: skip
    return rows


def over(one: Interval, two: Interval) -> Interval:
    """one / two, as wide as both intervals allow: the two were measured in different processes."""
    return Interval(one.middle / two.middle, one.low / two.high, one.high / two.low)


STAGES = (
    Stage("dispatch lab", 70, lambda plan: 60, stage_dispatch, ("dispatch",)),
    Stage("waterfall", 80, lambda plan: 30, stage_waterfall, ("waterfall",)),
    Stage("crossover", 90, lambda plan: 60, stage_crossover, ("crossover",)),
    Stage("thread pools", 100, lambda plan: 50, stage_threads, ("threads",)),
)
