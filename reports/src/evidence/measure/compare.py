"""The main job: build what is missing, check, measure, and write the pack after every stage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evidence.measure import code_size, correctness, integration, lab, machine
from evidence.measure.build_lab import absent, load_row, no_such_stage, row, side_rows, sides_of
from evidence.measure.gate import gates
from evidence.measure.machine import ROOT
from evidence.measure.plan import Plan
from evidence.measure.runtime import Found, Worker, runtime_rows
from evidence.measure.sides import SIDES
from evidence.pack import PARTIAL, RAN, Pack, empty_pack, write_pack, write_raw
from shared_tests.routes import all_routes

LATER = {
    "targets": "the targets matrix is not part of this release's compare",
    "footprint": "install footprint is not part of this release's compare",
    "upgrade": "upgrade survival is not part of this release's compare",
    "noise": "noise is not part of this release's compare",
    "roofline": "the roofline is not part of this release's compare",
    "decisions": "decisions are not part of this release's compare",
    "faults": "the fault corpus is not part of this release's compare",
    "models": "models are not part of this release's compare",
}


@dataclass
class Run:
    """State of a run: its plan, folder, pack and progress display."""

    plan: Plan
    folder: Path
    console: Console
    progress: Progress
    pack: Pack = field(default_factory=empty_pack)
    not_built: dict[str, str] = field(default_factory=dict)
    raw: list[dict[str, Any]] = field(default_factory=list)
    task: Any = None

    @property
    def log(self) -> Path:
        """What builds, suites and workers printed."""
        return self.folder / "log.txt"

    def tell(self, what: str, seconds: float = 0.0) -> None:
        """Show what is being done; `seconds` of the estimate are over."""
        self.progress.update(self.task, description=what, advance=seconds)
        if not self.console.is_terminal:
            self.console.print(f"  {what}", highlight=False)

    def save(self) -> None:
        write_pack(self.pack, self.folder)

    def caches(self) -> dict[str, str]:
        """Environment with this run's own compile caches, empty at its start."""
        caches = self.folder / "caches"
        return {
            **os.environ,
            "MODULAR_CACHE_DIR": str(caches / "modular"),
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        }


def build_missing(log: Path, tell: Any = print, names: tuple[str, ...] = tuple(SIDES)) -> dict[str, str]:
    """Build the named sides incrementally; reasons of those that did not build, by side name."""
    failed = {}
    for name in names:
        tell(f"build_{name}")
        finished = SIDES[name].run_build()
        with log.open("a") as stream:
            stream.write(f"== build_{name}: {finished.code} after {finished.seconds:.1f} s\n{finished.output}\n")
        if finished.code != 0:
            failed[name] = finished.error
    return failed


def stage_build(run: Run) -> None:
    names = tuple(side.name for side in sides_of([route.name for route in run.plan.route_objects()]))
    run.not_built = build_missing(run.log, run.tell, names)
    for name, reason in run.not_built.items():
        run.console.print(f"[yellow]{name} did not build:[/] {reason}", highlight=False)


def unavailable(run: Run) -> dict[str, str]:
    """Routes of the plan that cannot be called, with the reason; asked in a process of its own."""
    reasons = {r.name: run.not_built[r.side] for r in run.plan.route_objects() if r.side in run.not_built}
    for route in run.plan.route_objects():
        if route.name in reasons or route.package is None or route.jit:
            continue
        probe = (
            f"from shared_tests.routes import all_routes; print('@@', all_routes()[{route.name!r}].unavailable() or '')"
        )
        done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
        said = [line[2:].strip() for line in done.stdout.splitlines() if line.startswith("@@")]
        if not said or said[-1]:
            reasons[route.name] = said[-1] if said else f"importing it ended the process with {done.returncode}"
    return reasons


def stage_correctness(run: Run) -> None:
    plan = run.plan
    missing = unavailable(run)
    rows = []
    for route in plan.route_objects():
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        if route.name in missing:
            why = f"did not build: {missing[route.name]}"
            common = {"route": route.name, "dtype": "all", "device": plan.device, "message": why}
            rows += [{"op": op, **common, **counts, "skipped": 1} for op in plan.ops]
        elif not route.jit:
            run.tell(f"correctness of {route.name}")
            rows += correctness.run_suite(route.name, plan.ops, plan.device, run.log, timeout=900)
        run.pack.set_rows("correctness", rows, PARTIAL, "interrupted")
        run.progress.advance(run.task, 10)
    run.pack.set_rows("correctness", rows)
    run.not_built.update(missing)


def stage_runtime(run: Run) -> None:
    """Run time of every op, sample and dtype, in several fresh processes."""
    plan = run.plan
    cases = plan.cases()
    closed = [gates(run.pack.rows("correctness"), run.not_built, case) for case in cases]
    for case, gated in zip(cases, closed, strict=True):
        for key in ("routes", "kernel_routes"):
            case[key] = [r for r in case.get(key, []) if r not in gated]
    found: dict[tuple[int, str], Found] = {}
    current = {"index": -1}

    def heard(line: dict[str, Any]) -> None:
        if "begin" in line:
            case = line["begin"]
            current["index"] = cases.index(case)
            name = f"{case['op']} {case['sample']} {case['dtype']}"
            run.tell(f"time: {name} (process {current['process'] + 1} of {plan.processes})", 2 * plan.budget["seconds"])
            return
        found.setdefault((current["index"], line["mode"]), Found()).add(line)
        run.raw.append({"process": current["process"], **line})

    def lost(case: dict[str, Any], reason: str) -> None:
        for mode in case["modes"]:
            entry = found.setdefault((cases.index(case), mode), Found())
            for route in case["routes"]:
                entry.refused.setdefault(route, f"worker: {reason}")

    def rows() -> list[dict]:
        return [
            row
            for (index, mode), entry in sorted(found.items())
            for row in runtime_rows(cases[index], mode, entry, plan.device, closed[index])
        ]

    def record(status: str, reason: str | None) -> None:
        run.pack.set_rows("runtime", rows(), status, reason)
        write_raw(run.folder, run.raw)

    worker = Worker(plan.device, run.log, run.caches(), timeout=600)
    done = 0
    try:
        for process in range(plan.processes):
            current["process"] = process
            worker.run(cases, heard, lost)
            done = process + 1
    except KeyboardInterrupt:
        record(PARTIAL, f"interrupted after {done} of {plan.processes} processes")
        raise
    finally:
        worker.stop()
    record(RAN, None)
    _add_jit_correctness(run, cases, found)
    _add_first_calls(run, cases, found)


def _add_jit_correctness(run: Run, cases: list[dict], found: dict[tuple[int, str], Found]) -> None:
    """JIT routes skip the suite (half a minute a shape): their results are checked on every timed sample instead."""
    rows = run.pack.rows("correctness")
    counts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (index, mode), entry in found.items():
        case = cases[index]
        if mode != "call":
            continue
        for route in case["routes"]:
            if not all_routes()[route].jit:
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


def stage_build_lab(run: Run) -> None:
    plan = run.plan
    rows: list[dict[str, Any]] = []
    op = plan.compared_ops()[0] if plan.compared_ops() else plan.ops[0]
    with tempfile.TemporaryDirectory(prefix="build-lab-") as folder:
        for side in sides_of([route.name for route in plan.route_objects()]):
            if side.name in run.not_built:
                rows += [
                    absent(side.name, k, "did not build", run.not_built[side.name]) for k in ("clean", "noop", "edit")
                ]
            else:
                rows += side_rows(side, Path(folder), plan.repeats, run.tell)
            run.pack.set_rows("build", rows, PARTIAL, "interrupted")
            run.progress.advance(run.task, 100)
    for route in plan.route_objects():
        if route.package is None:
            continue
        if reason := run.not_built.get(route.name) or run.not_built.get(route.side):
            rows.append(absent(route.name, "import_load", "did not build", reason))
            continue
        if route.jit:
            rows += no_such_stage(route.name)
        rows.append(load_row(route.name, op, 1 if plan.quick else 3, ROOT, run.tell))
        run.pack.set_rows("build", rows, PARTIAL, "interrupted")
    run.pack.set_rows("build", rows)


def stage_code(run: Run) -> None:
    run.tell("code size", 2)
    run.pack.set_rows("code", code_size.measure(ROOT, run.plan.compared_ops(), run.plan.routes))


def stage_facts(run: Run) -> None:
    plan = run.plan
    run.pack.set_facts("machine", machine.machine())
    run.pack.set_facts("versions", machine.versions())
    chosen = {
        "ops": plan.ops, "routes": plan.routes, "device": plan.device, "quick": plan.quick,
        "processes": plan.processes, "build_repeats": plan.repeats, "budget": plan.budget,
        "routes_explained": {r.name: r.what for r in plan.route_objects()},
    }  # fmt: skip
    run.pack.set_facts("settings", machine.settings(**chosen))
    for section, reason in LATER.items():
        run.pack.skip(section, reason)


STAGES = (
    ("machine, versions, settings", stage_facts, 1, ("machine", "versions", "settings")),
    ("build what is missing", stage_build, 120, ()),
    ("correctness", stage_correctness, 60, ("correctness",)),
    ("build time", stage_build_lab, 300, ("build",)),
    ("code size", stage_code, 2, ("code",)),
    ("run time", stage_runtime, 0, ("runtime",)),
    ("dispatch lab", lab.stage_dispatch, 60, ("dispatch",)),
    ("waterfall", lab.stage_waterfall, 30, ("waterfall",)),
    ("crossover", lab.stage_crossover, 60, ("crossover",)),
    ("thread pools", lab.stage_threads, 50, ("threads",)),
    ("integration with PyTorch", integration.stage, 90, ("integration",)),
)


def run_stage(run: Run, name: str, stage: Callable[[Run], None], sections: tuple[str, ...]) -> None:
    """Run one stage; a defect in it is written into its sections and the log, and the run goes on."""
    run.tell(name)
    try:
        stage(run)
    except Exception as error:
        with run.log.open("a") as stream:
            traceback.print_exc(file=stream)
        reason = f"{type(error).__name__}: {error} (see {run.log.name})"
        run.console.print(f"[red]{name} did not run:[/] {reason}", highlight=False)
        for section in sections:
            run.pack.skip(section, reason)
    run.save()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run once; a second one while the pack is written is not heard."""

    def stop(*_: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def compare(plan: Plan, out: Path | None, console: Console) -> tuple[Path, bool]:
    """Run a plan and write its pack; returns the pack's folder and whether the run reached its end.

    The pack is written after every stage, so that whatever ends the run leaves a valid one behind.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = out or ROOT / "reports" / "out" / f"{machine.short_name()}-{stamp}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    run = Run(plan, folder, console, progress)
    cases = len(plan.cases())
    seconds = [cost or cases * plan.processes * 2 * plan.budget["seconds"] for _, _, cost, _ in STAGES]
    finished = False
    with interruptible(), progress:
        run.task = progress.add_task("start", total=sum(seconds))
        try:
            for index, (name, stage, _, sections) in enumerate(STAGES):
                run_stage(run, name, stage, sections)
                progress.update(run.task, completed=sum(seconds[: index + 1]))
            run.pack.finish()
            finished = True
        except KeyboardInterrupt:
            console.print(f"interrupted during «{name}»: writing what was measured", highlight=False)
        finally:
            run.save()
            shutil.rmtree(folder / "caches", ignore_errors=True)
    return folder, finished


def point_latest(folder: Path) -> None:
    """Make reports/out/latest a link to the newest pack of that folder."""
    link = ROOT / "reports" / "out" / "latest"
    if folder.resolve().parent != link.parent.resolve():
        return
    temporary = link.with_name(".latest")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(folder.name)
        temporary.replace(link)
    except OSError:  # no links on this file system: a file that names the folder
        link.with_suffix(".txt").write_text(folder.name + "\n")


def describe(plan: Plan) -> str:
    """One line that says what a run will do."""
    kind = "quick" if plan.quick else "full"
    return f"{kind} compare of {', '.join(plan.ops)} on {plan.device}: {json.dumps(plan.routes)}"
