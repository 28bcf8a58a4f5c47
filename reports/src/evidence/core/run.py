"""The main job: build what is missing, run the stages of every section, and write the pack after each."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from evidence.core import machine, recorded, text
from evidence.core.counters import Counters
from evidence.core.display import Display, show_plan
from evidence.core.machine import ROOT
from evidence.core.plan import Plan
from evidence.core.section import declarations
from evidence.core.sides import SIDES, sides_of
from evidence.core.stage import Run, Stage
from evidence.core.system import System, usable_cores
from shared_tests.route_table import facts


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


def stage_facts(run: Run) -> None:
    plan = run.plan
    run.pack.set_facts("machine", machine.machine() | {"load_others": run.load_others, "setup": machine.record()})
    run.pack.set_facts("versions", machine.versions())
    chosen = {
        "ops": plan.ops, "routes": plan.routes, "device": plan.device, "mode": plan.mode, "quick": plan.quick,
        "processes": plan.processes, "build_repeats": plan.repeats, "budget": plan.budget,
        "routes_explained": {r.name: r.what for r in plan.route_objects()},
    }  # fmt: skip
    run.pack.set_facts("settings", machine.settings(**chosen))


def _build_seconds(plan: Plan) -> float:
    """Seconds to look at what is built, on two cores; minutes where an artifact of a route is not there."""
    patterns = [pattern for route in plan.route_objects() for pattern in facts()[route.name].artifacts]
    return 15.0 if all(any(ROOT.glob(pattern)) for pattern in patterns) else 200.0


OWN_STAGES = (
    Stage("machine, versions, settings", 0, lambda plan: 1, stage_facts, ("machine", "versions", "settings")),
    Stage("build what is missing", 10, _build_seconds, stage_build, ()),
)


def all_stages(plan: Plan) -> list[Stage]:
    """The stages of a run and of the sections that the plan names, in the order in which they run."""
    stages = list(OWN_STAGES)
    for section, declared in declarations("measure", "STAGES"):
        stages += [stage for stage in declared if stage.always or not plan.only or section.name in plan.only]
    return sorted(stages, key=lambda stage: (stage.order, stage.name))


def skip_others(run: Run, stages: list[Stage]) -> None:
    """Say of the tables that `--only` leaves out why they are empty."""
    filled = {table for stage in stages for table in stage.tables}
    for _, declared in declarations("measure", "STAGES"):
        for table in (table for stage in declared for table in stage.tables if table not in filled):
            run.pack.skip(table, f"--only {','.join(run.plan.only)} left it out")


def run_stage(run: Run, stage: Stage) -> None:
    """Run one stage; a defect in it is written into its tables and the log, and the run goes on."""
    run.tell(stage.name)
    begin = time.monotonic()
    try:
        record = None if run.not_built else stage.record(run.plan)
        reason = stage.left_out(run.plan)
        if record:
            record.enter(run.pack)
        elif reason:
            for table in stage.tables:
                run.pack.skip(table, reason)
        else:
            stage.run(run)
            if stage.recorded and not run.plan.quick:
                recorded.keep(stage.recorded, stage.tables, run.pack, run.folder)
    except Exception as error:
        with run.log.open("a") as stream:
            traceback.print_exc(file=stream)
        reason = f"{type(error).__name__}: {error} (see {run.log.name})"
        run.console.print(f"[red]{stage.name} did not run:[/] {reason}", highlight=False)
        for table in stage.tables:
            run.pack.skip(table, reason)
        run.failed_stages.append(stage.name)
    finally:
        _account(run, stage.name, time.monotonic() - begin)
    run.save()


def _account(run: Run, name: str, seconds: float) -> None:
    """Note in `settings` what the stage took, and the most memory that this process has had so far."""
    facts = run.pack.facts("settings")
    facts.setdefault("stage_seconds", {})[name] = round(seconds, 1)
    # on Linux kilobytes, on macOS bytes
    unit = 2**20 if sys.platform == "darwin" else 2**10
    facts["harness_peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


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


def compare(plan: Plan, out: Path | None, console: Console, load_others: float | None = None) -> Run:
    """Run a plan and write its pack, whose status says whether the run reached its end.

    `load_others` is how many cores other programs used before it began, which the pack records.
    The pack is written after every stage, so that whatever ends the run leaves a valid one behind.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = out or ROOT / "reports" / "out" / f"{machine.short_name()}-{stamp}"
    folder.mkdir(parents=True, exist_ok=True)
    stages = all_stages(plan)
    steps = [stage.step(plan) for stage in stages]
    show_plan(console, steps, datetime.now())
    display = Display(console, steps)
    run = Run(plan, folder, console, display, load_others=load_others)
    skip_others(run, stages)
    system = System(usable_cores())
    counters = Counters.now(system)
    with interruptible(), display:
        run.task = display.add_task("start", total=None)
        try:
            for index, stage in enumerate(stages):
                display.begin(index)
                run_stage(run, stage)
            display.finish()
            run.pack.finish()
        except KeyboardInterrupt:
            console.print(f"interrupted during “{stage.name}”: writing what was measured", highlight=False)
        finally:
            run.pack.facts("machine")["during_run"] = Counters.now(system).since(counters)
            run.save()
            shutil.rmtree(folder / "caches", ignore_errors=True)
    return run


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
    """One line that says what is compared."""
    only = f", only {', '.join(plan.only)}" if plan.only else ""
    ops = text.count(len(plan.ops), "op") if plan.every_op else ", ".join(plan.ops)
    return f"{plan.mode} compare of {ops} on {plan.device} by {', '.join(plan.routes)}{only}"
