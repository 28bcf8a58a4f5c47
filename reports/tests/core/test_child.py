"""Child processes: what is known of their end, and that none outlives its time, an interruption or its parent."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence.core.child import Child, Children, Silent, Stopped, run_command, side_by_side

PYTHON = [sys.executable, "-S", "-c"]


def test_a_failure_is_told_by_its_line(tmp_path: Path) -> None:
    failed = run_command([*PYTHON, "raise SystemExit('error: no such header')"], tmp_path)
    assert (failed.code, failed.error) == (1, "error: no such header")


def test_a_hang_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hung = run_command(["sh", "-c", f"(sleep 2; touch {mark}) & sleep 60"], tmp_path, timeout=0.5)
    assert hung.code is None
    assert hung.seconds < 30
    assert "killed" in hung.error
    time.sleep(2.5)
    assert not mark.exists()


def test_what_a_child_leaves_behind_is_killed_at_its_end(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done = run_command(["sh", "-c", f"(sleep 2; touch {mark}) & echo done"], tmp_path)
    assert (done.code, done.output) == (0, "done\n")
    time.sleep(2.5)
    assert not mark.exists()


def test_cpu_seconds_and_memory_are_those_of_the_tree(tmp_path: Path) -> None:
    """The grandchild burns half a second by its own CPU clock, whatever the machine's speed; a sleep burns none."""
    burn = "import time\nheld = b'x' * (64 << 20)\nwhile time.process_time() < 0.5: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}])"
    done = run_command([*PYTHON, parent], tmp_path, peak_memory=True)
    assert done.cpu_seconds >= 0.5
    assert done.peak_mb > 64
    slept = run_command([*PYTHON, "import time; time.sleep(1)"], tmp_path)
    assert slept.seconds >= 1
    assert slept.cpu_seconds < 0.5 * slept.seconds
    assert slept.peak_mb == 0


TALK = """
import json, sys, time
def say(**line):
    print("@@ " + json.dumps(line), flush=True)
print("a library's own words", flush=True)
say(number=1)
print("and its errors", file=sys.stderr, flush=True)
say(number=2)
"""
STUCK = "def stuck():\n    time.sleep(60)\nstuck()\n"


def test_lines_come_apart_from_other_output(tmp_path: Path) -> None:
    with Child([*PYTHON, TALK + "sys.exit(3)"], tmp_path, lines=True) as child:
        assert list(child.lines(30)) == [{"number": 1}, {"number": 2}]
        assert child.code == 3
        assert all(text in child.output() for text in ("a library's own words", "and its errors"))
        assert "@@" not in child.output()


def test_a_child_that_falls_silent_tells_where_it_hangs(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK + STUCK)
    heard: list[object] = []
    with Child([sys.executable, "-S", "-X", "faulthandler", "talk.py"], tmp_path, lines=True) as child:
        with pytest.raises(Silent, match="nothing within 2 s") as silent:
            heard.extend(child.lines(2))
        assert silent.value.where.startswith(" in stuck, talk.py:")
        assert "most recent call first" in child.output()
    assert len(heard) == 2
    assert child.code is not None


def test_a_line_that_was_cut_off_is_output(tmp_path: Path) -> None:
    cut = "import os; os.write(1, b'@@ {\"number\": '); os.abort()"
    with Child([*PYTHON, cut], tmp_path, lines=True) as child:
        assert list(child.lines(30)) == []
        assert child.code == -6
        assert child.output().startswith("@@")


def test_nothing_starts_or_goes_on_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run_command([*PYTHON, "print(1)"], tmp_path, children=Children(0))
    begin = time.monotonic()
    with pytest.raises(Stopped):
        run_command([*PYTHON, "import time; time.sleep(60)"], tmp_path, children=Children(0.5))
    with Child([*PYTHON, TALK + STUCK], tmp_path, None, True, Children(0.5)) as child, pytest.raises(Stopped):
        list(child.lines(60))
    assert time.monotonic() - begin < 30


def interrupt_after(mark: Path) -> None:
    end = time.perf_counter() + 20
    while not mark.exists() and time.perf_counter() < end:
        time.sleep(0.01)
    raise KeyboardInterrupt


def test_an_interruption_leaves_no_child_behind(tmp_path: Path) -> None:
    """Ctrl-C comes in the second call while the first one's process still runs; the third one never starts."""
    begun, third = tmp_path / "begun", tmp_path / "third"
    source = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    calls: list[Callable[[], object]] = [
        lambda: run_command([*PYTHON, source], tmp_path),
        lambda: interrupt_after(begun),
        lambda: run_command(["sh", "-c", f"sleep 1; touch {third}"], tmp_path),
    ]
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(calls, 2))
    assert time.perf_counter() - begin < 30
    assert not third.exists()


def test_a_consumer_that_gives_up_leaves_no_child_behind(tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: 1,
        lambda: run_command([*PYTHON, "import time; time.sleep(60)"], tmp_path),
    ]
    begin = time.perf_counter()
    results = side_by_side(calls, 2)
    assert next(results) == 1
    results.close()
    assert time.perf_counter() - begin < 30


def test_results_come_in_the_order_of_the_calls_where_that_is_wanted() -> None:
    calls = [lambda: time.sleep(0.2) or "slow", lambda: "fast"]
    assert list(side_by_side(calls, 2, in_order=True)) == ["slow", "fast"]
    assert list(side_by_side(calls, 2)) == ["fast", "slow"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_a_child_stays_on_its_cores(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    source = "import json, os; print('@@', json.dumps(sorted(os.sched_getaffinity(0))))"
    with Child([*PYTHON, source], tmp_path, lines=True, cores=[core]) as child:
        assert list(child.lines(30)) == [[core]]
