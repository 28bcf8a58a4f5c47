"""How much of the machine other programs used while something was timed. Judged by their load, never by the result."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

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
