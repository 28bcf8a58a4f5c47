"""What a run shows of itself: the plan, the time left, and one line a stage where there is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime

import pytest
from evidence.core import quiet
from evidence.core.display import Display, Step, duration, rounded, show_plan
from evidence.core.estimate import Estimate
from rich.console import Console


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def walk(
    estimates: list[float], takes: list[float], clock: Clock, at: Callable[[Estimate], None], reports: bool = True
) -> Estimate:
    """Stages that take `takes`, ten steps each, with progress reported after each step or never."""
    estimate = Estimate(estimates, clock)
    for index, took in enumerate(takes):
        estimate.begin(index)
        at(estimate)
        for _ in range(10):
            clock.now += took / 10
            at(estimate)
            if reports:
                estimate.advance(estimates[index] / 10)
                at(estimate)
    estimate.finish()
    at(estimate)
    return estimate


@pytest.mark.parametrize("reports", [True, False])
def test_the_time_left_is_exact_where_the_estimates_are(reports: bool) -> None:
    clock = Clock()
    seen: list[tuple[float, float]] = []
    walk([20.0, 60.0, 40.0], [20.0, 60.0, 40.0], clock, lambda e: seen.append((e.elapsed(), e.left())), reports)
    assert all(elapsed + left == pytest.approx(120.0) for elapsed, left in seen)


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 3.0, 10.0])
def test_the_share_never_falls_and_the_time_left_is_never_negative(factor: float, reports: bool) -> None:
    clock = Clock()
    shares: list[float] = []
    left: list[float] = []

    def at(estimate: Estimate) -> None:
        shares.append(estimate.share())
        left.append(estimate.left())

    estimates = [1.0, 120.0, 0.0, 30.0, 300.0]
    walk(estimates, [value * factor for value in estimates], clock, at, reports)
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert left[-1] == 0.0
    assert min(left) >= 0.0


def test_the_pace_is_learnt_from_stages_that_have_ended() -> None:
    """After ten minutes at half the speed, the rest is expected at nearly that speed."""
    clock = Clock()
    estimate = Estimate([600.0, 600.0], clock)
    estimate.begin(0)
    clock.now += 1200.0
    estimate.begin(1)
    assert 1100.0 < estimate.left() < 1200.0


def test_the_pace_is_learnt_from_progress_inside_a_stage() -> None:
    clock = Clock()
    estimate = Estimate([1000.0], clock)
    estimate.begin(0)
    clock.now += 1000.0
    estimate.advance(500.0)
    assert 800.0 < estimate.left() < 1000.0


def test_more_progress_than_a_stage_has_is_not_counted() -> None:
    clock = Clock()
    estimate = Estimate([10.0, 50.0], clock)
    estimate.begin(0)
    estimate.advance(500.0)
    clock.now += 10
    estimate.begin(1)
    assert estimate.left() == pytest.approx(50.0)


def test_an_interrupted_run_has_time_left_and_no_error() -> None:
    assert Estimate([], Clock()).left() == 0.0
    assert Estimate([5.0], Clock()).left() == pytest.approx(5.0)


STEPS = [
    Step("correctness", "1 op by 3 routes", 70.0),
    Step("waterfall", "nothing in this mode", 0.0),
    Step("run time", "12 cases of 1 op in 3 processes", 130.0),
]

GOLDEN = """\
Stage        What is done                       Estimate
correctness  1 op by 3 routes                 1 min 10 s
run time     12 cases of 1 op in 3 processes  2 min 10 s
About 3 min 30 s in all, over at about 14:03.
  0%  correctness, 1 min 10 s; about 3 min 30 s left in all
 35%  run time, 2 min 10 s; about 2 min 10 s left in all
100%  measured in 3 min 20 s
"""


def test_without_a_terminal_there_is_a_line_a_stage() -> None:
    """A stage that does nothing in the mode is not shown."""
    clock, stream = Clock(), io.StringIO()
    console = Console(file=stream, width=100, soft_wrap=True)
    show_plan(console, STEPS, datetime(2026, 12, 1, 14, 0))
    with Display(console, STEPS, clock) as display:
        task = display.add_task("start", total=None)
        for index, step in enumerate(STEPS):
            display.begin(index)
            for case in range(10):
                display.update(task, description=f"case {case}", advance=step.seconds / 10)
                clock.now += step.seconds / 10
        display.finish()
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == GOLDEN.splitlines()


def test_in_a_terminal_the_line_shows_share_time_left_and_what_is_done() -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True)
    with Display(console, STEPS, clock) as display:
        task = display.add_task("start", total=None)
        display.begin(0)
        clock.now += 35
        display.update(task, description="correctness of cpp", advance=35.0)
        display.refresh()
    assert "17%  about 2 min 45 s left correctness of cpp" in stream.getvalue()


def test_durations_are_as_exact_as_they_are_known() -> None:
    assert [duration(rounded(seconds)) for seconds in (3.2, 47, 200, 4000)] == [
        "3 s", "45 s", "3 min 30 s", "1 h 06 min",
    ]  # fmt: skip


# waiting


def looks(clock: Clock, used: list[float | None]) -> Callable[[float], float | None]:
    """A machine whose other programs use so many cores, look after look, the last for good."""

    def look(seconds: float) -> float | None:
        clock.now += seconds
        return used.pop(0) if len(used) > 1 else used[0]

    return look


def wait(used: list[float | None], longest: float = 60.0) -> tuple[quiet.Waited | None, list[tuple[float, float]]]:
    clock, reports = Clock(), list[tuple[float, float]]()
    waited = quiet.until_quiet(0.2, longest, lambda *line: reports.append(line), looks(clock, used), clock)
    return waited, reports


def test_waiting_ends_after_three_quiet_looks_in_a_row() -> None:
    waited, reports = wait([1.5, 0.1, 0.1, 0.9, 0.1, 0.2, 0.0])
    assert waited == quiet.Waited(True, 0.0)
    assert reports == [(1.5, 3.0), (0.1, 6.0), (0.1, 9.0), (0.9, 12.0), (0.1, 15.0), (0.2, 18.0)]


def test_waiting_gives_up_after_the_stated_time() -> None:
    waited, reports = wait([1.0], longest=30.0)
    assert waited == quiet.Waited(False, 1.0)
    assert reports[-1][1] < 30.0


def test_nobody_waits_where_the_load_cannot_be_read() -> None:
    assert wait([None]) == (None, [])
