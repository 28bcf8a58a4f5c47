"""How much of the machine other programs used while something was timed. Judged by their load, never by the result."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOK_SECONDS = 3.0
LOOKS = 3
"""Looks in a row at a quiet machine before it counts as quiet: a program that works every few seconds is no quiet."""

DISTURBED = 0.15  # cores; on two cores a third of that already shows in a route that uses both


@dataclass(frozen=True)
class Load:
    """Processor seconds of the whole machine, and of this process and its children that have ended, at one moment."""

    wall: float
    machine: float | None
    own: float

    @classmethod
    def now(cls) -> Load:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = time.process_time() + children.ru_utime + children.ru_stime
        return cls(time.perf_counter(), _machine_seconds(), own)

    def others_since(self, before: Load) -> float | None:
        """Cores that others used on average since `before`, stolen time included; None where it cannot be read."""
        if self.machine is None or before.machine is None:
            return None
        spent = (self.machine - before.machine) - (self.own - before.own)
        return max(spent, 0.0) / max(self.wall - before.wall, 1e-3)


def _machine_seconds() -> float | None:
    try:
        with open("/proc/stat") as stat:
            fields = [int(field) for field in stat.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def others(seconds: float) -> float | None:
    """Cores that others use on average over the next `seconds`; None where it cannot be read."""
    before = Load.now()
    time.sleep(seconds)
    return Load.now().others_since(before)


def wait(longest: float = 2.0) -> None:
    """Until others use less than `DISTURBED` cores for 0.2 s, `longest` seconds at most."""
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        before = Load.now()
        time.sleep(0.2)
        if (Load.now().others_since(before) or 0.0) < DISTURBED:
            return


@dataclass(frozen=True)
class Waited:
    """The end of waiting: whether the machine was quiet, and the cores that others used in the last look."""

    is_quiet: bool
    others: float


def until_quiet(
    limit: float,
    longest: float,
    tell: Callable[[float, float], None],
    look: Callable[[float], float | None] = others,
    clock: Callable[[], float] = time.monotonic,
) -> Waited | None:
    """Wait until others use at most `limit` cores in three looks in a row, `longest` seconds at most.

    Args:
        limit: cores.
        longest: seconds, which include the looks.
        tell: gets the cores that others used and the seconds that were waited, after each look.
        look: cores that others use over so many seconds.
        clock: seconds, from any origin.

    Returns:
        None where the load of others cannot be read.
    """
    begin, quiet_looks = clock(), 0
    while True:
        used = look(LOOK_SECONDS)
        if used is None:
            return None
        quiet_looks = quiet_looks + 1 if used <= limit else 0
        if quiet_looks == LOOKS:
            return Waited(True, used)
        waited = clock() - begin
        if waited >= longest:
            return Waited(False, used)
        tell(used, waited)
