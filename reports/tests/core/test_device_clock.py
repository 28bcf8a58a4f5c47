"""The GPU's own clock, on a machine without one: what is called in which order, and what a card says."""

from __future__ import annotations

import os
import stat
from typing import ClassVar

import pytest
import torch
from evidence.core import device_clock
from evidence.core.device_clock import CALLS, DeviceClock, cards
from evidence.core.sampling import Budget, interleave


class Event:
    """A stand-in whose time is the length of the log when it was recorded."""

    log: ClassVar[list[str]] = []

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.log.append("event")
        self.at = len(self.log)

    def elapsed_time(self, end: Event) -> float:
        return float(end.at - self.at)


@pytest.fixture
def log(monkeypatch):
    Event.log = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: Event.log.append("wait"))
    return Event.log


def test_each_call_stands_between_two_events_after_an_emptied_cache(log):
    clock = DeviceClock("cpu", flush_bytes=8)
    clock._flush.fill_(1)

    def call() -> None:
        log.append("flushed" if clock._flush.eq(0).all() else "warm")
        clock._flush.fill_(1)

    # the stand-in's milliseconds are log entries: the call and the second event
    assert clock.visit(call)() == 2000
    assert log == ["warm", *["event", "flushed", "event"] * CALLS, "wait"]


def test_routes_are_interleaved_by_that_clock(log):
    clock = DeviceClock("cpu", flush_bytes=8)
    calls = {"eager": lambda: log.append("a"), "cpp": lambda: (log.append("b"), log.append("b"))}
    times = interleave(calls, Budget(seconds=0.0, least_rounds=2), "eager", visit_of=clock.visit)
    assert times["eager"][:2] == [2000, 2000]
    assert times["cpp"][:2] == [3000, 3000]


def test_what_a_card_says(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 1980, 2619, 1980, 34, [N/A], 0x0000000000000004'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (card,) = cards()
    assert card["name"] == "NVIDIA H100"
    assert card["clocks.sm"] == 1980
    assert card["power.draw"] == "[N/A]"
    program.write_text("#!/bin/sh\nexit 9\n")
    assert cards() == []
    monkeypatch.setattr(device_clock.shutil, "which", lambda name: None)
    assert cards() == []
