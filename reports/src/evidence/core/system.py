"""What of the machine's setup can move a time: memory, clock, cores, caches and limits, as the system reports them.

Every value may be missing on a system, in a container or in a virtual machine: it is None then, never a guess.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU = "sys/devices/system/cpu"
NO_LIMIT = "no limit"


@dataclass(frozen=True)
class System:
    """The files that describe the machine.

    Attributes:
        usable: numbers of the cores that a run may use.
        root: the folder that holds `proc` and `sys`.
    """

    usable: Sequence[int]
    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """The stripped content of a file below `root`, or None where it cannot be read or is empty."""
        try:
            return (self.root / path).read_text().strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def number(self, path: str) -> int | None:
        """The whole number that a file holds, or None."""
        try:
            return int(self.read(path) or "")
        except ValueError:
            return None

    def distinct(self, path: str) -> str | None:
        """The values of a file of each usable core (`{}` in `path` is its number), or None where there is none."""
        values = [self.read(path.format(core)) for core in self.usable]
        return ", ".join(sorted({value for value in values if value is not None})) or None


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use; empty where the system does not number them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def describe(system: System) -> dict[str, dict[str, Any]]:
    """Block -> name -> value. Clock rates are in kHz, as Linux reports them; the CPU quota is in cores."""
    return {
        "memory": {
            "transparent_huge_pages": _chosen(system.read("sys/kernel/mm/transparent_hugepage/enabled")),
            "address_space_randomisation": _randomisation(system),
            "numa_nodes": _numa(system),
        },
        "clock": {
            "turbo": _turbo(system),
            "governor": system.distinct(f"{CPU}/cpu{{}}/cpufreq/scaling_governor"),
            "driver": system.distinct(f"{CPU}/cpu{{}}/cpufreq/scaling_driver"),
            "highest_rate_khz": system.distinct(f"{CPU}/cpu{{}}/cpufreq/scaling_max_freq"),
            "clock_source": system.read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
        },
        "cores": {
            "usable": list(system.usable) or None,
            "isolated": system.read(f"{CPU}/isolated"),
            "simultaneous_multithreading": _on(system.number(f"{CPU}/smt/active")),
            "threads_of_one_core": threads_of_one_core(system),
            "microcode": _of_cpuinfo(system, "microcode"),
            "caches": _caches(system),
        },
        "limits": {"cpu_quota_cores": quota(system)},
    }  # fmt: skip


def _on(value: int | None) -> bool | None:
    return None if value is None else value > 0


def _chosen(choices: str | None) -> str | None:
    """`madvise` from `always [madvise] never`."""
    match = re.search(r"\[(\w+)\]", choices or "")
    return match[1] if match else None


def _randomisation(system: System) -> str | None:
    level = system.number("proc/sys/kernel/randomize_va_space")
    return None if level is None else {0: "off", 1: "without the heap", 2: "full"}.get(level)


def _turbo(system: System) -> bool | None:
    """Whether the clock may rise above its nominal rate. Intel's driver says the opposite, in a file of its own."""
    off = system.number(f"{CPU}/intel_pstate/no_turbo")
    return off == 0 if off is not None else _on(system.number(f"{CPU}/cpufreq/boost"))


def numbers(cores: str) -> list[int]:
    """`[0, 1, 2, 8]` from a list of Linux, `0-2,8`."""
    parts = [part.split("-") for part in cores.split(",") if part]
    return [number for part in parts for number in range(int(part[0]), int(part[-1]) + 1)]


def threads_of_one_core(system: System) -> list[str] | None:
    """The usable cores that are hardware threads of one physical core, a text a group (`0-1`); None where unknown.

    A virtual machine may hide this: then each counts as a core of its own.
    """
    groups: dict[str, list[int]] = {}
    for core in system.usable:
        topology = f"{CPU}/cpu{core}/topology"
        siblings = system.read(f"{topology}/core_cpus_list") or system.read(f"{topology}/thread_siblings_list")
        if siblings is None:
            return None
        groups.setdefault(siblings, []).append(core)
    if not groups:
        return None
    return [siblings for siblings, cores in groups.items() if len(cores) > 1]


def _of_cpuinfo(system: System, name: str) -> str | None:
    match = re.search(rf"^{name}\s*:\s*(.+)$", system.read("proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else None


def _caches(system: System) -> list[str] | None:
    """`L1 Data 32K of 0` for each cache of the first usable core: level, kind, size and the cores that share it."""
    if not system.usable:
        return None
    texts = []
    for folder in sorted((system.root / CPU / f"cpu{system.usable[0]}" / "cache").glob("index*")):
        names = ("level", "type", "size", "shared_cpu_list")
        level, kind, size, shared = (system.read(f"{folder.relative_to(system.root)}/{name}") for name in names)
        if level and kind and size:
            texts.append(f"L{level} {kind} {size}" + (f" of {shared}" if shared else ""))
    return texts or None


def _numa(system: System) -> list[str] | None:
    """`0: cores 0-31` for each node."""
    online = system.read("sys/devices/system/node/online")
    if online is None:
        return None
    cores = {node: system.read(f"sys/devices/system/node/node{node}/cpulist") for node in numbers(online)}
    return [f"{node}: cores {listed}" if listed else str(node) for node, listed in cores.items()]


def cpu_groups(system: System) -> list[str]:
    """Folders below `root` of the control groups that limit the processor for this process, the innermost first."""
    groups = []
    for line in (system.read("proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = {"": ("sys/fs/cgroup",), "cpu": ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")}
        for controller in set(controllers.split(",")) & mounts.keys():
            parts = [part for part in path.split("/") if part]
            groups += [
                "/".join([mount, *parts[:depth]]) for mount in mounts[controller] for depth in range(len(parts), -1, -1)
            ]
    return groups


def quota(system: System) -> float | str | None:
    """Cores' worth of time that the tightest control group allows, `no limit`, or None where no group can be read."""
    limits: list[float] = []
    is_known = False
    for group in cpu_groups(system):
        if limit := system.read(f"{group}/cpu.max"):
            allowed, period = limit.split()
        else:
            allowed = system.read(f"{group}/cpu.cfs_quota_us") or ""
            period = system.read(f"{group}/cpu.cfs_period_us") or ""
        if allowed and period:
            is_known = True
            if allowed not in ("max", "-1"):
                limits.append(round(int(allowed) / int(period), 2))
    return min(limits) if limits else NO_LIMIT if is_known else None
