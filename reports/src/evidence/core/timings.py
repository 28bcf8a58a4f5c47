"""Run time and dispatch: jobs for worker processes, and rows from what they report."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evidence.core.between import Between, Kind, Shown
from evidence.core.machine import ROOT
from evidence.core.sampling import Interval, median_interval
from evidence.core.thresholds import size_class
from evidence.sections.runtime.roofline import Roof

Row = dict[str, Any]
BASES = ("eager", "cpp")
TIME = "time"


@dataclass
class Found:
    """What several processes said of one (case, mode): times by route, one list a process, empty where it has none."""

    times: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, str] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[str, Any] = field(default_factory=dict)
    beside: list[float | None] = field(default_factory=list)  # GB/s of the copy beside it, one a process
    lines: int = 0
    left_out: bool = False

    def add(self, line: dict[str, Any]) -> None:
        for route, values in line["times"].items():
            # A route that a process lacked gets an empty list there: ratios pair what was timed side by side.
            self.times[route] += [[] for _ in range(self.lines - len(self.times[route]))]
            self.times[route].append(values)
        self.lines += 1
        self.beside.append(line.get("beside"))
        self.left_out |= line.get("left_out", False)
        self.refused.update(line["refused"])
        for route, seconds in line["first"].items():
            self.first[route].append(seconds)
        self.facts |= {k: line[k] for k in ("elements", "bytes", "flops", "tensors", "reads", "set") if k in line}

    def of_copy(self, route: str) -> list[float]:
        """One a process: the route's rate as a share of that of the copy beside it, medians both."""
        moved = self.facts.get("bytes") or 0
        pairs = zip(self.times.get(route, []), self.beside, strict=False)
        return [moved / float(np.median(run)) / 1e3 / rate for run, rate in pairs if run and rate]

    def medians(self, route: str, base: str) -> list[float]:
        """One median a process: microseconds for base `time`, else the ratio to `base` (above 1 is faster)."""
        return [float(np.median(values)) for values in self._runs(route, base)]

    def within(self, route: str, base: str) -> Interval | None:
        """Median and interval over the rounds of all processes."""
        runs = self._runs(route, base)
        return median_interval(np.concatenate(runs)) if runs else None

    def _runs(self, route: str, base: str) -> list[np.ndarray]:
        own = self.times.get(route, [])
        if base == TIME:
            return [np.array(run) for run in own if run]
        if route == base:
            return []
        pairs = zip(self.times.get(base, []), own, strict=False)
        return [np.array(b[: len(r)]) / np.array(r[: len(b)]) for b, r in pairs if b and r]


def pooled(within: Interval, per_process: list[float]) -> Interval:
    """Median over processes' medians; the interval covers that over rounds and every process's own median.

    For the labs, whose rows are too few to lend each other a spread; run-time rows have `Between`.
    """
    middle = float(np.median(per_process))
    return Interval(middle, min(within.low, *per_process, middle), max(within.high, *per_process, middle))


def time_interval(found: Found, route: str) -> Interval | None:
    """Microseconds a call."""
    return _pooled(found, route, TIME)


def ratio_interval(found: Found, route: str, base: str) -> Interval | None:
    """How many times faster than `base`: median of the per-round ratios, above 1 is faster."""
    return _pooled(found, route, base)


def _pooled(found: Found, route: str, base: str) -> Interval | None:
    within = found.within(route, base)
    return None if within is None else pooled(within, found.medians(route, base))


DUMP_SECONDS = 10.0  # for a process that hangs to write its stacks


class Worker:
    """Runs cases in a fresh process; survives its crash or hang by starting another one behind the case that failed."""

    def __init__(
        self,
        device: str,
        log: Path,
        env: dict[str, str],
        timeout: float,
        cores: list[int] | None = None,
        module: str = "evidence.core.worker",
    ):
        """`cores`: those that the process may use, or None for all; `module`: what it runs."""
        self.module = module
        self.device, self.log, self.env, self.timeout = device, log, env, timeout
        self.narrow = None if cores is None else functools.partial(os.sched_setaffinity, 0, cores)
        self.process: subprocess.Popen[str] | None = None

    def run(self, cases: list[dict], heard: Callable[[dict], None], lost: Callable[[dict, str], None]) -> None:
        """Hand `heard` every line of the worker; `lost` gets a case whose process crashed or hung, and why."""
        left = list(cases)
        while left:
            reached = self._once(left, heard)
            if reached is None:
                return
            index, reason = reached
            if index is None:
                for case in left:
                    lost(case, reason)
                return
            lost(left[index], reason)
            left = left[index + 1 :]

    def _once(self, cases: list[dict], heard: Callable[[dict], None]) -> tuple[int | None, str] | None:
        """The case at which the process ended and why; no case where it refused to measure at all; None at its end."""
        job = json.dumps({"cases": cases, "device": self.device})
        command = [sys.executable, "-X", "faulthandler", "-m", self.module, job]
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=self.narrow,
            )
            lines: queue.Queue[str | None] = queue.Queue()
            threading.Thread(target=_read, args=(self.process.stdout, lines), daemon=True).start()
            index = -1
            try:
                while True:
                    try:
                        line = lines.get(timeout=self.timeout)
                    except queue.Empty:
                        where = self._where_it_hangs()
                        return max(
                            index, 0
                        ), f"nothing within {self.timeout:.0f} s: killed{where} (see {self.log.name})"
                    if line is None:
                        code = self.process.wait()
                        return (
                            None
                            if code == 0
                            else (max(index, 0), f"the process ended with {code} (see {self.log.name})")
                        )
                    if line.startswith("@@ "):
                        said = json.loads(line[3:])
                        if "fatal" in said:
                            return None, said["fatal"]
                        index += "begin" in said
                        heard(said)
                    else:
                        errors.write(line)
            finally:
                self.stop()

    def _where_it_hangs(self) -> str:
        """Ends the process by SIGABRT, at which it writes its threads' stacks to the log; names the innermost frame."""
        assert self.process is not None
        begin = self.log.stat().st_size
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(DUMP_SECONDS)
        with self.log.open(errors="replace") as stream:
            stream.seek(begin)
            _, _, main = stream.read().rpartition("(most recent call first):")  # the main thread comes last
        frame = re.search(r'File "([^"]+)", line (\d+) in (\S+)', main)
        return f" in {frame[3]}, {Path(frame[1]).name}:{frame[2]}" if frame else ""

    def stop(self) -> None:
        """Kill the process and what it started, if it is still there."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _read(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def spreads(measured: Iterable[tuple[dict[str, Any], str, Found]]) -> Between:
    """The spread between processes of every row of a run, given as (case, mode, what was found)."""
    return Between(
        (Kind(route, base, mode, size_class(case["elements"])), np.log(found.medians(route, base)).tolist())
        for case, mode, found in measured
        for route in found.times
        for base in (TIME, *BASES)
    )


def runtime_rows(
    case: dict[str, Any],
    mode: str,
    found: Found,
    device: str,
    gated: dict[str, tuple[str, str]],
    between: Between,
    roof: Roof | None = None,
) -> list[Row]:
    """Rows of one case and mode; routes that were not timed keep a row with the reason.

    `between` holds the spreads of all the run's rows (`spreads`), `roof` what the machine can do at most.
    """
    rows = []
    routes = case["routes"] if mode == "call" else case["kernel_routes"]
    for route in [*routes, *[g for g in gated if g not in routes and mode == "call"]]:
        shown: dict[str, Shown] = {}
        for base in (TIME, *BASES):
            one = _shown(found, route, base, Kind(route, base, mode, size_class(case["elements"])), between)
            if one is not None:
                shown[base] = one
        intervals = {base: one.interval for base, one in shown.items()}
        time = intervals.get(TIME)
        status, message = gated.get(route, ("ok", None))
        if status == "ok" and time is None:
            if route not in found.refused:
                continue  # the route has no such mode
            message = found.refused[route]
            status = "failed correctness" if message.startswith(case["op"]) else "error"
            status = "left out" if found.left_out else status
        judged = [base for base in BASES if base in shown] or list(shown)
        noisy = [because for base in judged if (because := shown[base].noisy)]
        moved, flops = found.facts.get("bytes"), found.facts.get("flops")
        row: Row = {
            "op": case["op"], "route": route, "device": device, "dtype": case["dtype"], "sample": case["sample"],
            "mode": mode, "status": status, "message": message, "label": case["sample"],
            **interval_keys(time, "median_us", "ci_low_us", "ci_high_us"),
            **interval_keys(intervals.get("eager"), "ratio_to_eager", "ratio_low", "ratio_high"),
            **interval_keys(intervals.get("cpp"), "ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high"),
            **{f"between_{base}": shown[base].own if base in shown else None for base in BASES},
            "elements": case["elements"], "bytes": moved, "flops": flops,
            "gb_per_s": moved / time.middle / 1e3 if time and moved else None,
            "roofline_share": None, "roofline_limit": None, "bound": None,
            "pairs": sum(map(len, found.times.get(route, []))) or None,
            "processes": len(found.medians(route, TIME)) or None,
            "noisy": bool(noisy), "noisy_because": "; ".join(dict.fromkeys(noisy)) or None,
        }  # fmt: skip
        if mode == "kernel" and roof is not None and time is not None and moved:
            facts = found.facts
            shares = found.of_copy(route)
            row |= roof.hold(
                time, moved, facts.get("reads", 1.0), flops or 0, case["dtype"], facts.get("set"),
                float(np.median(shares)) if shares else None,
            )  # fmt: skip
        rows.append(row)
    return rows


def _shown(found: Found, route: str, base: str, kind: Kind, between: Between) -> Shown | None:
    within = found.within(route, base)
    return None if within is None else between.show(kind, within, np.log(found.medians(route, base)).tolist())


def interval_keys(interval: Interval | None, middle: str, low: str, high: str) -> dict[str, float | None]:
    if interval is None:
        return {middle: None, low: None, high: None}
    return {middle: interval.middle, low: interval.low, high: interval.high}


def dispatch_rows(
    cell: dict[str, Any], found: Found, case: dict[str, Any], gated: dict[str, tuple[str, str]]
) -> list[Row]:
    """Rows of the `dispatch` section for one cell: cost of a call at 16 elements.

    In a compiled function `eager` is the yardstick of the ratios, called as it is, and has no row of its own.
    """
    rows = []
    for route in [*case["routes"], *[g for g in gated if g not in case["routes"]]]:
        if cell["mode"] == "compiled" and route == "eager":
            continue
        time, ratio = time_interval(found, route), ratio_interval(found, route, "eager")
        refused = found.refused.get(route, "was not timed")
        # Dynamo's word for a function that it cannot trace
        failed = "not supported" if refused.startswith("Unsupported") else "error"
        status, message = gated.get(route, ("ok", None) if time else (failed, refused))
        rows.append({
            "route": route, "op": case["op"], "elements": 16, "tensors": case["tensors"], **cell,
            "status": status, "message": message,
            **interval_keys(time, "median_us", "low_us", "high_us"),
            **interval_keys(ratio, "ratio_to_eager", "ratio_low", "ratio_high"),
            "pairs": sum(map(len, found.times.get(route, []))) or None,
            "noisy": False, "noisy_because": None,
            "process_medians_us": found.medians(route, TIME) if time else [],
        })  # fmt: skip
    return rows


def mark_noisy(rows: list[Row]) -> list[Row]:
    """Mark `dispatch` rows whose processes differ by more than those of the route's other cells, as in run time."""

    def kind(row: Row) -> Kind:
        return Kind(row["route"], TIME, "call", row["mode"])

    logs = {id(row): np.log(row["process_medians_us"]).tolist() for row in rows if row["process_medians_us"]}
    between = Between((kind(row), logs[id(row)]) for row in rows if id(row) in logs)
    for row in rows:
        if len(own := logs.get(id(row), [])) > 1:
            because = between.show(kind(row), Interval(1, 1, 1), own).noisy
            row |= {"noisy": because is not None, "noisy_because": because}
    return rows
