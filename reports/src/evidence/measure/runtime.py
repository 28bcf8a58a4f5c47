"""Run time and dispatch: jobs for worker processes, and rows from what they report."""

from __future__ import annotations

import functools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evidence.measure.machine import ROOT
from evidence.measure.sampling import Interval, median_interval

Row = dict[str, Any]
NOISY_WIDTH = 0.3  # a row is noisy when its ratio's interval, over all processes, is wider than this share of it


@dataclass
class Found:
    """What several processes said of one (case, mode): times by route, one list a process."""

    times: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, str] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        for route, values in line["times"].items():
            self.times[route].append(values)
        self.refused.update(line["refused"])
        for route, seconds in line["first"].items():
            self.first[route].append(seconds)
        self.facts = {k: line[k] for k in ("elements", "bytes", "flops", "tensors") if k in line}


def pooled(values: list[float], per_process: list[float]) -> Interval:
    """Median over processes' medians; the interval covers the pooled bootstrap and every process's own median."""
    inner = median_interval(values)
    middle = float(np.median(per_process))
    return Interval(middle, min(inner.low, *per_process, middle), max(inner.high, *per_process, middle))


def time_interval(found: Found, route: str) -> Interval | None:
    """Microseconds a call."""
    runs = found.times.get(route)
    if not runs:
        return None
    return pooled([t for run in runs for t in run], [float(np.median(run)) for run in runs])


def ratio_interval(found: Found, route: str, base: str) -> Interval | None:
    """How many times faster than `base`: median of the per-round ratios, above 1 is faster."""
    pairs = [(b, r) for b, r in zip(found.times.get(base, []), found.times.get(route, []), strict=False) if b and r]
    if not pairs or route == base:
        return None
    ratios = [np.array(b[: len(r)]) / np.array(r[: len(b)]) for b, r in pairs]
    return pooled(np.concatenate(ratios).tolist(), [float(np.median(r)) for r in ratios])


class Worker:
    """Runs cases in a fresh process; survives its crash or hang by starting another one behind the case that failed."""

    def __init__(self, device: str, log: Path, env: dict[str, str], timeout: float, cores: list[int] | None = None):
        """`cores`: those that the process may use, or None for all."""
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
            lost(left[index], reason)
            left = left[index + 1 :]

    def _once(self, cases: list[dict], heard: Callable[[dict], None]) -> tuple[int, str] | None:
        command = [sys.executable, "-m", "evidence.measure.worker", json.dumps({"cases": cases, "device": self.device})]
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
                        return max(index, 0), f"nothing within {self.timeout:.0f} s: killed (see {self.log.name})"
                    if line is None:
                        code = self.process.wait()
                        return (
                            None
                            if code == 0
                            else (max(index, 0), f"the process ended with {code} (see {self.log.name})")
                        )
                    if line.startswith("@@ "):
                        said = json.loads(line[3:])
                        index += "begin" in said
                        heard(said)
                    else:
                        errors.write(line)
            finally:
                self.stop()

    def stop(self) -> None:
        """Kill the process and what it started, if it is still there."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _read(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def runtime_rows(
    case: dict[str, Any], mode: str, found: Found, device: str, gated: dict[str, tuple[str, str]]
) -> list[Row]:
    """Rows of one case and mode; routes that were not timed keep a row with the reason."""
    rows = []
    routes = case["routes"] if mode == "call" else case["kernel_routes"]
    for route in [*routes, *[g for g in gated if g not in routes and mode == "call"]]:
        time = time_interval(found, route)
        status, message = gated.get(route, ("ok", None))
        if status == "ok" and time is None:
            if route not in found.refused:
                continue  # the route has no such mode
            message = found.refused[route]
            status = "failed correctness" if message.startswith(case["op"]) else "error"
        to_eager, to_cpp = ratio_interval(found, route, "eager"), ratio_interval(found, route, "cpp")
        moved = found.facts.get("bytes")
        rows.append({
            "op": case["op"], "route": route, "device": device, "dtype": case["dtype"], "sample": case["sample"],
            "mode": mode, "status": status, "message": message, "label": case["sample"],
            **interval_keys(time, "median_us", "ci_low_us", "ci_high_us"),
            **interval_keys(to_eager, "ratio_to_eager", "ratio_low", "ratio_high"),
            **interval_keys(to_cpp, "ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high"),
            "elements": case["elements"], "bytes": moved, "flops": found.facts.get("flops"),
            "gb_per_s": moved / time.middle / 1e3 if time and moved else None, "roofline_share": None,
            "pairs": sum(map(len, found.times.get(route, []))) or None,
            "noisy": bool(time and max((i.width for i in (to_eager, to_cpp) if i), default=time.width) > NOISY_WIDTH),
        })  # fmt: skip
    return rows


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
            "noisy": bool(time and time.width > NOISY_WIDTH),
        })  # fmt: skip
    return rows
