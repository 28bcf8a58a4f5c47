"""What happened to the processor during a run: time that the hypervisor took, and times that it was held back."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.core.system import CPU, System, cpu_groups


@dataclass(frozen=True)
class Counters:
    """Counters that only grow, at one moment.

    Attributes:
        ticks: of all cores, idle time included.
        stolen: of them, what a hypervisor gave to others while this machine wanted to run.
        quota_stops: periods in which a control group ended its processes' time before the period was over.
        quota_stopped_us: how long they then waited, in microseconds.
        hot: times that the processor slowed down because of its temperature, over all usable cores.
    """

    ticks: int | None
    stolen: int | None
    quota_stops: int | None
    quota_stopped_us: int | None
    hot: int | None

    @classmethod
    def now(cls, system: System) -> Counters:
        ticks, stolen = _ticks(system)
        stops, stopped_us = _quota_stops(system)
        return cls(ticks, stolen, stops, stopped_us, _hot(system))

    def since(self, before: Counters) -> dict[str, float | int | None]:
        """What came after `before`: share of the machine's time that was stolen, and the other counters' growth.

        None for each that one of the two lacks.
        """
        ticks, stolen = _growth(self.ticks, before.ticks), _growth(self.stolen, before.stolen)
        stopped_us = _growth(self.quota_stopped_us, before.quota_stopped_us)
        return {
            "stolen_share": round(stolen / ticks, 4) if ticks and stolen is not None else None,
            "stops_by_quota": _growth(self.quota_stops, before.quota_stops),
            "seconds_stopped_by_quota": None if stopped_us is None else round(stopped_us / 1e6, 2),
            "times_slowed_by_heat": _growth(self.hot, before.hot),
        }


def _growth(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(after - before, 0)


def _ticks(system: System) -> tuple[int | None, int | None]:
    """All ticks of all cores and those that were stolen, from the first line of /proc/stat."""
    fields = (system.read("proc/stat") or "").partition("\n")[0].split()[1:9]
    if len(fields) < 8:
        return None, None
    return sum(map(int, fields)), int(fields[7])


def _quota_stops(system: System) -> tuple[int | None, int | None]:
    """Stops and stopped microseconds of the innermost control group that counts them."""
    for group in cpu_groups(system):
        lines = [line.split() for line in (system.read(f"{group}/cpu.stat") or "").splitlines()]
        values = {line[0]: int(line[1]) for line in lines if len(line) == 2}
        if "nr_throttled" in values:
            nanoseconds = values.get("throttled_time")  # version 1; version 2 counts microseconds
            stopped = values.get("throttled_usec") if nanoseconds is None else nanoseconds // 1000
            return values["nr_throttled"], stopped
    return None, None


def _hot(system: System) -> int | None:
    counts = [system.number(f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count") for core in system.usable]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
