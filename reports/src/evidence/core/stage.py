"""A stage of `compare`: what a section measures in a run, and the run that it gets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from evidence.core.pack import Pack, empty_pack, write_pack
from evidence.core.plan import Plan


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
    """

    name: str
    order: int
    seconds: Callable[[Plan], float]
    run: Callable[[Run], None]
    tables: tuple[str, ...]
    always: bool = False
