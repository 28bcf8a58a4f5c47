"""What a terminal shows of a run: what it will do, and one line with the time left. Elsewhere, a line a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evidence.core.estimate import Estimate


@dataclass(frozen=True)
class Step:
    """A line of the plan.

    Attributes:
        name: of the stage.
        what: how much of it is measured, or that it is taken over.
        seconds: estimate.
    """

    name: str
    what: str
    seconds: float


def duration(seconds: float) -> str:
    """`8 s`, `1 min 20 s`, `1 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def rounded(seconds: float) -> float:
    """Seconds as exactly as an estimate is known: to 1 s, from 20 s on to 5 s, from 3 min on to half a minute."""
    step = 1 if seconds < 20 else 5 if seconds < 180 else 30
    return round(seconds / step) * step


def show_plan(console: Console, steps: Sequence[Step], now: datetime) -> None:
    """Print what a run will do, how long each stage and the whole take, and when it will be over.

    Stages that do nothing in this mode are left out.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Stage", no_wrap=True)
    table.add_column("What is done", overflow="fold")
    table.add_column("Estimate", justify="right", no_wrap=True)
    for step in steps:
        if step.seconds:
            table.add_row(step.name, step.what, duration(rounded(step.seconds)))
    console.print(table, soft_wrap=False)
    total = sum(step.seconds for step in steps)
    over = now + timedelta(seconds=total)
    console.print(f"About {duration(rounded(total))} in all, over at about {over:%H:%M}.", highlight=False)


class _Bar(ProgressColumn):
    def __init__(self, estimate: Estimate) -> None:
        super().__init__()
        self.estimate = estimate

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=1, completed=self.estimate.share(), width=30)


class _Left(ProgressColumn):
    def __init__(self, estimate: Estimate) -> None:
        super().__init__()
        self.estimate = estimate

    def render(self, task: Task) -> Text:
        return Text(f"{percentage(self.estimate)}  {time_left(self.estimate)}")


def percentage(estimate: Estimate) -> str:
    """` 42%`; 100 % only when nothing is left to do."""
    return f"{int(100 * estimate.share()):3}%"


def time_left(estimate: Estimate) -> str:
    """`about 2 min 30 s left`, in steps that do not pretend to know it better."""
    left = rounded(estimate.left())
    return f"about {duration(left)} left" if left else "almost done"


class Display(Progress):
    """The progress of a run, which reports `update(..., advance=seconds)` in seconds of the stage's estimate.

    Args:
        console: where it is shown.
        steps: the stages, in the order in which they run.
        clock: seconds, from any origin.
    """

    def __init__(self, console: Console, steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
        self.estimate = Estimate([step.seconds for step in steps], clock)
        self.steps = steps
        columns = (SpinnerColumn(), _Bar(self.estimate), _Left(self.estimate), TextColumn("{task.description}"))
        super().__init__(*columns, console=console, disable=not console.is_terminal, transient=True)

    def begin(self, index: int) -> None:
        """Stage `index` begins."""
        self.estimate.begin(index)
        step = self.steps[index]
        if step.seconds:
            self._line(f"{step.name}, {duration(rounded(step.seconds))}; {time_left(self.estimate)} in all")

    def finish(self) -> None:
        """Every stage has ended."""
        self.estimate.finish()
        self._line(f"measured in {duration(self.estimate.elapsed())}")

    def update(self, task_id: Any, *, advance: float | None = None, **fields: Any) -> None:
        """As in rich; `advance` is in seconds of the estimate."""
        if advance:
            self.estimate.advance(advance)
        super().update(task_id, advance=advance, **fields)

    def advance(self, task_id: Any, advance: float = 1) -> None:
        """So many seconds of the running stage's estimate are over."""
        self.estimate.advance(advance)
        super().advance(task_id, advance)

    def _line(self, what: str) -> None:
        if not self.console.is_terminal:
            self.console.print(f"{percentage(self.estimate)}  {what}", highlight=False, markup=False)
