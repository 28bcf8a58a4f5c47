"""The main job: build what is missing, check, measure, and write the pack after every stage."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evidence.core import machine
from evidence.core.machine import ROOT
from evidence.core.pack import Pack, empty_pack, write_pack
from evidence.core.plan import Plan
from evidence.core.sides import SIDES
from evidence.sections.build import measure as build_stage
from evidence.sections.build.stages import sides_of
from evidence.sections.code import measure as code_size
from evidence.sections.correctness import measure as correctness
from evidence.sections.dispatch import measure as lab
from evidence.sections.faults import measure as faults_stage
from evidence.sections.install import measure as footprint_stage
from evidence.sections.integration import measure as integration
from evidence.sections.runtime import measure as runtime_stage

LATER = {
    "gpu": "`nox -s emulate -- --pack PACK` runs the GPU kernels of both sides without a GPU and writes this section",
    "targets": "`nox -s targets` builds for every target and writes this section into the newest pack",
    "models": "`nox -s models` measures whole models and writes this section into the newest pack",
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
    load_others: float | None = None

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


def stage_code(run: Run) -> None:
    run.tell("code size", 2)
    run.pack.set_rows("code", code_size.measure(ROOT, run.plan.compared_ops(), run.plan.routes))
    run.pack.facts("settings")["code_rule"] = code_size.RULE


def stage_facts(run: Run) -> None:
    plan = run.plan
    run.pack.set_facts("machine", machine.machine() | {"load_others": run.load_others})
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
    ("correctness", correctness.stage, 70, ("correctness",)),
    ("build time", build_stage.stage, 800, ("build",)),
    ("code size", stage_code, 2, ("code",)),
    ("install footprint, upgrade survival", footprint_stage.stage, 60, ("footprint", "upgrade")),
    ("run time", runtime_stage.stage, 0, ("runtime", "noise", "roofline")),
    ("dispatch lab", lab.stage_dispatch, 60, ("dispatch",)),
    ("waterfall", lab.stage_waterfall, 30, ("waterfall",)),
    ("crossover", lab.stage_crossover, 60, ("crossover",)),
    ("thread pools", lab.stage_threads, 50, ("threads",)),
    ("integration with PyTorch", integration.stage, 90, ("integration",)),
    ("fault corpus", faults_stage.stage, 420, ("faults",)),
)


def run_stage(run: Run, name: str, stage: Callable[[Run], None], sections: tuple[str, ...]) -> None:
    """Run one stage; a defect in it is written into its sections and the log, and the run goes on."""
    run.tell(name)
    begin = time.monotonic()
    try:
        stage(run)
    except Exception as error:
        with run.log.open("a") as stream:
            traceback.print_exc(file=stream)
        reason = f"{type(error).__name__}: {error} (see {run.log.name})"
        run.console.print(f"[red]{name} did not run:[/] {reason}", highlight=False)
        for section in sections:
            run.pack.skip(section, reason)
    finally:
        _account(run, name, time.monotonic() - begin)
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


def compare(plan: Plan, out: Path | None, console: Console, load_others: float | None = None) -> tuple[Path, bool]:
    """Run a plan and write its pack; returns the pack's folder and whether the run reached its end.

    `load_others` is how many cores other programs used before it began, which the pack records.
    The pack is written after every stage, so that whatever ends the run leaves a valid one behind.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
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
    run = Run(plan, folder, console, progress, load_others=load_others)
    seconds = [cost or runtime_stage.estimate(plan) for _, _, cost, _ in STAGES]
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
