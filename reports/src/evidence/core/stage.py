"""A stage of `compare`: what a section measures in a run, and the run that it gets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from evidence.core.display import Step
from evidence.core.mode import STANDARD
from evidence.core.pack import Pack, empty_pack, write_pack
from evidence.core.plan import Plan
from evidence.core.recorded import Record, Recorded, find


@dataclass
class Run:
    """State of a run: its plan, folder, pack and progress display.

    Attributes:
        not_built: reasons by route or side.
        raw: what the measuring processes reported, sample by sample.
        load_others: cores that other programs used before the run began, or None.
        failed_stages: names of the stages that ended with an exception.
    """

    plan: Plan
    folder: Path
    console: Console
    progress: Progress
    pack: Pack = field(default_factory=empty_pack)
    not_built: dict[str, str] = field(default_factory=dict)
    raw: list[dict[str, Any]] = field(default_factory=list)
    task: Any = None
    load_others: float | None = None
    failed_stages: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What builds, suites and workers printed."""
        return self.folder / "log.txt"

    def tell(self, what: str, seconds: float = 0.0) -> None:
        """Show in a terminal what is being done; `seconds` of the estimate are over."""
        self.progress.update(self.task, description=what, advance=seconds)

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


RECORD_SECONDS = 1.0


def _nothing(run: Run) -> None:
    """Does nothing: the rows of the stage are taken over or left out."""


@dataclass(frozen=True)
class Stage:
    """One step of a run, declared in `STAGES` of a section's `measure.py`.

    Attributes:
        name: shown while it runs, and its key in `stage_seconds`.
        order: place in the run; stages of the same order go by name.
        seconds: estimate for a plan, on two cores.
        run: measures, and puts rows into the pack of the run.
        tables: the tables of the pack that it fills; where it fails, they get the reason.
        always: runs even when `--only` names other sections, because their rows depend on its own.
        recorded: what the rows depend on, where a standard run may take them over from an earlier run.
        what: how much a run with a plan measures, for the table before the run.
        elsewhere: the command that measures the rows, where `compare` never does; a run can only take them over.
    """

    name: str
    order: int
    seconds: Callable[[Plan], float]
    run: Callable[[Run], None]
    tables: tuple[str, ...]
    always: bool = False
    recorded: Recorded | None = None
    what: Callable[[Plan], str] = lambda plan: ""
    elsewhere: str | None = None

    def record(self, plan: Plan) -> Record | None:
        """The rows of an earlier run that a run with this plan takes over instead of measuring, or None."""
        if self.recorded is None or plan.quick or (plan.full and not self.elsewhere):
            return None
        return find(self.recorded, self.tables, plan)

    def left_out(self, plan: Plan) -> str | None:
        """Why the stage does not run where there is no record, or None.

        What may be taken over does not depend on the chosen ops: a run of some ops does not wait for it unless `--only`
        names it.
        """
        if self.elsewhere:
            return self.elsewhere
        if self.recorded is None or plan.mode != STANDARD or plan.every_op or plan.only:
            return None
        return "no recorded results fit, and a run of some ops does not measure it; --only or a run of all ops does"

    def expected(self, plan: Plan) -> float:
        """Estimate in seconds, on two cores: next to none where rows are taken over or left out."""
        return self.step(plan).seconds

    def step(self, plan: Plan) -> Step:
        """What a run with a plan does in this stage, and how long it takes on two cores."""
        if record := self.record(plan):
            dates = sorted({mark["date"] for mark in record.marks.values()})
            return Step(self.name, f"taken over, recorded {', '.join(dates)}", RECORD_SECONDS)
        if self.elsewhere:
            return Step(self.name, self.elsewhere, 0.0)
        if self.left_out(plan):
            return Step(self.name, "left out: no recorded results fit", RECORD_SECONDS)
        seconds = self.seconds(plan)
        if not seconds:
            return Step(self.name, "nothing in this mode", 0.0)
        again = "no recorded results fit: measured, then recorded" if self.recorded and plan.mode == STANDARD else ""
        return Step(self.name, "; ".join(filter(None, (self.what(plan), again))), seconds)


def taken_over(name: str, order: int, tables: tuple[str, ...], elsewhere: str, recorded: Recorded) -> Stage:
    """A stage whose rows another command measures; a run takes them over if nothing they depend on has changed.

    Args:
        name: as for `Stage`.
        order: as for `Stage`.
        tables: as for `Stage`.
        elsewhere: what the command is and does; the reason in the pack if there is no record.
        recorded: what the rows depend on.
    """
    return Stage(name, order, lambda plan: 0.0, _nothing, tables, recorded=recorded, elsewhere=elsewhere)
