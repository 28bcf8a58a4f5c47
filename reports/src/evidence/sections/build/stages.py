"""Build time: what a developer waits for, each stage in a clean copy with emptied caches.

Stages that correspond stand on the same line (`kind`): clean build, build again with nothing changed, a one-line kernel
edit, a one-line edit of the binding and a new op, each up to the first correct result in a fresh process; and the build
for a further architecture. What each route does there is in `build_sides`. C++ is built without ccache; Mojo with an
empty MODULAR_CACHE_DIR, which then stays warm for the stages behind the clean build, as on a developer's machine.

Repeats go over the sides forward and backward in turn, so that a machine that becomes slower hits all alike. A side
whose stages in `BASE` took longer than `DEAR` together is visited once: its rows then are single runs, which the
verdicts take for uncertain. For the others `BASE` runs in every repeat, and what stands behind it in the first, and
again where that took less than `CHEAP`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from evidence.sections.build.recipes import BASE, CPU_LEVEL, FURTHER, GPU_ARCH, LabSide, Step
from evidence.sections.build.row import BuildRow, Kind, Status
from evidence.core.machine import ROOT
from evidence.core.sides import clean_copy, environment
from evidence.core import json_lines
from evidence.core.child import Finished, run_command

STAGES = {
    "prerequisites": "install prerequisites (on top of PyTorch)",
    "clean": "clean build, empty caches",
    "noop": "build again, nothing changed",
    "edit": "one-line kernel edit to first correct result",
    "binding_edit": "one-line binding edit to first correct result",
    "add_op": "new op to its first correct result",
    "add_arch": f"add one GPU architecture ({GPU_ARCH})",
    "add_cpu": f"build for another CPU ({CPU_LEVEL})",
    "import_load": "import and load, fresh process",
    "first_call": "first call of an op in a dtype",
    "first_call_new_shape": "first call of a further shape",
}
WRONG = "wrong result"
CHEAP = 8.0  # seconds of a stage in FURTHER up to which it is repeated: with all of them the lab takes twice as long
DEAR = 100.0  # seconds; MAX compiles the whole catalogue in 84 to 140 s on two cores

LOAD = """
import time
import torch
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs
begin = time.perf_counter()
call = all_routes()["{route}"].functional(all_specs()["{op}"])
print("@@", time.perf_counter() - begin)
"""


class Cost(NamedTuple):
    """One run of a stage: wall seconds, peak memory in MiB, CPU seconds of the whole process tree."""

    seconds: float
    peak_mb: float | None = None
    cpu_seconds: float | None = None


def row(
    route: str, kind: str, runs: Sequence[Cost | tuple[float, float | None]], message: str | None = None, **more: Any
) -> BuildRow:
    """One row of the `build` section from the cost of each repeat: medians with the range, the largest peak."""
    costs = [Cost(*run) for run in runs]
    seconds = [cost.seconds for cost in costs]
    peaks = [cost.peak_mb for cost in costs if cost.peak_mb is not None]
    processor = [cost.cpu_seconds for cost in costs if cost.cpu_seconds is not None]
    return BuildRow(
        route=route,
        stage=STAGES[kind],
        kind=cast(Kind, kind),
        status="ok",
        seconds_median=statistics.median(seconds),
        seconds_low=min(seconds),
        seconds_high=max(seconds),
        peak_mb=max(peaks) if peaks else None,
        repeats=len(costs),
        message=message,
        cpu_seconds=statistics.median(processor) if processor else None,
        **more,
    )


def absent(route: str, kind: str, status: Status, message: str, **more: Any) -> BuildRow:
    """A row without a time, and why there is none."""
    return BuildRow(route=route, stage=STAGES[kind], kind=cast(Kind, kind), status=status, message=message, **more)


def lab_environment(copy: Path, caches: Path) -> dict[str, str]:
    """Sources from `copy`, caches in a folder that the caller empties, no ccache, builds for the CPU only."""
    env = environment(copy, MODULAR_CACHE_DIR=str(caches / "modular"), CCACHE_DISABLE="1", FORCE_CPU="1")
    env["PYTHONPATH"] += os.pathsep + os.pathsep.join((str(ROOT), str(ROOT / "reports/src")))
    return env


class Failed(Exception):
    """A stage that came to no correct result; `status` is that of its row."""

    def __init__(self, status: Status, reason: str):
        super().__init__(reason)
        self.status = status


@dataclass
class Lab:
    """Repeats of the stages of several sides, and the rows so far.

    sides: in the order of the first repeat.
    folder: for copies and caches.
    repeats: how often the stages in `BASE` run.
    """

    sides: Sequence[LabSide]
    folder: Path
    repeats: int
    tell: Callable[[str], None]
    costs: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)
    artifacts: dict[tuple[str, str], int] = field(default_factory=dict)
    failures: dict[tuple[str, str], Failed] = field(default_factory=dict)

    def run(self, changed: Callable[[], None]) -> None:
        """Visits every side `repeats` times, forward and backward in turn; `changed` is told after each visit."""
        for repeat in range(self.repeats):
            for side in self.sides if repeat % 2 == 0 else self.sides[::-1]:
                # What failed once is not tried again: the reader needs the reason, not its repeats.
                if not any((side.name, kind) in self.failures for kind in BASE) and not self._dear(side):
                    self._visit(side, repeat)
                    changed()

    def _visit(self, side: LabSide, repeat: int) -> None:
        """One repeat of a side, in a clean copy."""
        caches = self.folder / f"caches-{side.name}"
        shutil.rmtree(caches, ignore_errors=True)
        with clean_copy(side, self.folder, side.root) as copy:
            env = lab_environment(copy, caches)
            if side.warm_up:
                self.tell(f"{side.name}: the op before its edit, untimed")
                try:
                    build(side.warm_up, copy / side.cwd, env)
                except Failed as failed:
                    self.failures[side.name, "edit"] = failed
                    return
            for kind in (*BASE, *FURTHER):
                step = side.steps[kind]
                if isinstance(step, str) or self._left(step) or (repeat and not self._again(side, kind)):
                    continue
                self.tell(f"{side.name}: {STAGES[kind]} ({repeat + 1} of {self.repeats})")
                try:
                    # That a clean build is right is shown once; the edit behind it shows it in every repeat.
                    proved = kind != "clean" or not repeat
                    cost = self._stage(side, step if proved else replace(step, check=""), copy, env)
                    if step.artifacts:
                        self.artifacts[side.name, kind] = artifact_bytes(copy, step.artifacts)
                except Failed as failed:
                    self.failures[side.name, kind] = failed
                    if step.change or kind in BASE:
                        break  # the copy is not what the stages behind it expect
                    continue
                self.costs.setdefault((side.name, kind), []).append(cost)
        shutil.rmtree(caches, ignore_errors=True)

    def _dear(self, side: LabSide) -> bool:
        return sum(self.costs.get((side.name, kind), [Cost(0.0)])[0].seconds for kind in BASE) > DEAR

    def _again(self, side: LabSide, kind: str) -> bool:
        """Whether a stage runs in the repeats behind the first."""
        first = self.costs.get((side.name, kind))
        return kind in BASE or bool(first and first[0].seconds < CHEAP and (side.name, kind) not in self.failures)

    def _left(self, step: Step) -> str | None:
        """Why a stage that the side has does not run here."""
        if step.needs and not shutil.which(step.needs):
            return f"no tool chain: {step.needs} is not on the PATH"
        return step.left_out

    def _stage(self, side: LabSide, step: Step, copy: Path, env: dict[str, str]) -> Cost:
        """One stage: the change, the untimed preparation, the build, and the fresh process that shows its effect.

        Raises:
            Failed: the build ended with an error, or the change is not what ran.
        """
        if step.change:
            step.change(copy)
        env = {**env, **step.environment}
        if step.prepare:
            build(step.prepare, copy / side.cwd, env)
        parts = [build(step.build, copy / side.cwd, env)] if step.build else []
        if step.check:
            checked = run_command([sys.executable, "-c", step.check], copy, env, 300, peak_memory=True)
            if checked.code != 0:
                message = next((line for line in checked.output.splitlines() if line.startswith(WRONG)), checked.error)
                raise Failed("did not run", message)
            if step.timed_check:
                parts.append(checked)
        return Cost(
            sum(part.seconds for part in parts),
            max(part.peak_mb for part in parts),
            sum(part.cpu_seconds for part in parts),
        )

    def rows(self, ended: bool) -> list[BuildRow]:
        """A row a side and stage: measured, or why not."""
        return [self._row(side, kind, ended) for side in self.sides for kind in (*BASE, *FURTHER)]

    def _row(self, side: LabSide, kind: str, ended: bool) -> BuildRow:
        step = side.steps[kind]
        if isinstance(step, str):
            return absent(side.name, kind, "no such stage", step)
        if left := self._left(step):
            return absent(side.name, kind, "did not run", left)
        runs = self.costs.get((side.name, kind), [])
        failed = self.failures.get((side.name, kind))
        if not runs:
            return self._not_run(side, kind, failed)
        notes = [step.note] if step.note else []
        if failed:
            notes.append(f"a later repeat failed: {failed}")
        elif ended and len(runs) < self.repeats:
            dear = f"clean build and edit took more than {DEAR:.0f} s together"
            why = dear if self._dear(side) else f"the first took more than {CHEAP:.0f} s"
            notes.append(f"{len(runs)} of {self.repeats} repeats, since {why}")
        made = self.artifacts.get((side.name, kind))
        return row(side.name, kind, runs, "; ".join(notes) or None, artifact_bytes=made)

    def _not_run(self, side: LabSide, kind: str, failed: Failed | None) -> BuildRow:
        if failed:
            return absent(side.name, kind, failed.status, str(failed))
        first = next(((k, f) for (name, k), f in self.failures.items() if name == side.name), None)
        if first is None:
            return absent(side.name, kind, "did not run", "not reached before the run ended")
        if first[0] == "clean":
            return absent(side.name, kind, first[1].status, str(first[1]))
        return absent(side.name, kind, "did not run", f"a stage before it failed: {STAGES[first[0]]}")


def build(command: Sequence[str], folder: Path, env: dict[str, str]) -> Finished:
    """Runs a build command, in which `python` stands for this interpreter.

    Raises:
        Failed: it ended with an error.
    """
    program, *arguments = command
    command = (sys.executable if program == "python" else program, *arguments)
    finished = run_command(command, folder, env, peak_memory=True)
    if finished.code != 0:
        raise Failed("did not build", finished.error)
    return finished


def artifact_bytes(copy: Path, patterns: Sequence[str]) -> int:
    """Bytes of the files that a build made.

    Raises:
        Failed: one of them is not there.
    """
    matches = [list(copy.glob(pattern)) for pattern in patterns]
    for pattern, files in zip(patterns, matches, strict=True):
        if not files:
            raise Failed("did not build", f"the build ended well and {pattern} is not there")
    return sum(file.stat().st_size for files in matches for file in files)


def load_row(route: str, op: str, repeats: int, root: Path, tell: Callable[[str], None]) -> BuildRow:
    """Import and load of a route in fresh processes, beyond the import of torch itself."""
    runs: list[Cost] = []
    for repeat in range(repeats):
        tell(f"{route}: import and load ({repeat + 1} of {repeats})")
        command = [sys.executable, "-c", LOAD.format(route=route, op=op)]
        finished = run_command(command, root, environment(root), 300, peak_memory=True)
        reported = json_lines.read(finished.output)
        if finished.code != 0 or not reported:
            return absent(route, "import_load", "did not run", finished.error)
        runs.append(Cost(reported[-1], finished.peak_mb))
    return row(route, "import_load", runs)
