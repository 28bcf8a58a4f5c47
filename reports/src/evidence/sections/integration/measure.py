"""Integration debt: which features of PyTorch each route works with, found by calling it.

Every route is probed in a child process. A feature that ends the child, or of which nothing is heard in time, is a row
`fails` with what was seen; a fresh child goes on with the next feature.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evidence.core.machine import ROOT
from evidence.core.stage import Run, Stage
from evidence.sections.integration.outcome import DID_NOT_RUN, FAILS, FEATURES, NOT_APPLICABLE, one_line
from shared_tests.routes import Route

Row = dict[str, Any]

BUDGET_SECONDS = 130.0
FEATURE_SECONDS = 45.0
OUT_OF_TIME = "the time of this stage was over"
AT_ONCE = 2
"""Children side by side: nothing is timed here."""

COMMAND = (sys.executable, "-X", "faulthandler", "-m", "evidence.sections.integration.child")

LONG = ("aot_inductor",)
QUICK = tuple(sorted((f for f in FEATURES if f not in LONG), key=("export", "compile_dynamic", "fork").count))
"""Those that may leave a child in pieces come last."""


class Deadline:
    """The end of the time for all of it, which an interruption brings forward."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, 0 or less when it is over."""
        return self.end - time.monotonic()

    def cancel(self) -> None:
        """It is over now: children that run are ended within half a second."""
        self.end = time.monotonic()


def stage(run: Run) -> None:
    """The stage of `evidence compare`: after run time, whose compiled shapes the JIT routes are probed with."""
    plan = run.plan
    rows = measure(
        plan.route_objects(), plan.device, _missing(run), run.log, env=run.caches(), tell=run.tell, quick=plan.quick
    )
    run.pack.set_rows("integration", rows)


def _missing(run: Run) -> dict[str, str]:
    """Reasons by route; a side that did not build takes its routes with it."""
    routes = run.plan.route_objects()
    reasons = {route.name: run.not_built.get(route.name) or run.not_built.get(route.side) for route in routes}
    return {name: reason for name, reason in reasons.items() if reason}


def measure(
    routes: list[Route],
    device: str,
    missing: dict[str, str],
    log: Path,
    env: dict[str, str] | None = None,
    tell: Callable[[str], None] = print,
    budget: float = BUDGET_SECONDS,
    quick: bool = False,
) -> list[Row]:
    """Rows of the section `integration`: route, feature, status, message.

    Args:
        routes: the routes to probe.
        device: `cpu` or `cuda`.
        missing: routes that cannot be called, with the reason.
        log: file that gets what the children print.
        env: environment of the children.
        tell: told what is being done.
        budget: seconds for all of it; what is left then did not run.
        quick: leaves out all routes that represent no side, and the long features.
    """
    deadline = Deadline(budget)

    def probe(task: tuple[Route, tuple[str, ...]]) -> list[Row]:
        route, features = task
        if reason := missing.get(route.name):
            return absent(route.name, DID_NOT_RUN, f"did not build: {reason}", features)
        if route.name == "compile":
            why = "it is torch.compile itself; the other routes' rows hold it"
            return absent(route.name, NOT_APPLICABLE, why, features)
        if device not in route.devices:
            return absent(route.name, NOT_APPLICABLE, f"the route does not run on {device}", features)
        if quick and (not route.represents or features is LONG):
            return absent(route.name, DID_NOT_RUN, "--quick leaves it out", features)
        if deadline.left() > 0:
            tell(f"integration of {route.name}")
        return probe_route(route.name, device, log, env, deadline, features)

    # The registered routes first in all that they are asked; routes that may compile for a minute last.
    order = sorted(routes, key=lambda route: (route.jit, route.namespace is None))
    built, compiled_later = ([r for r in order if not r.jit], [r for r in order if r.jit])
    tasks = [(route, features) for some in (built, compiled_later) for features in (QUICK, LONG) for route in some]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            rows = {(row["route"], row["feature"]): row for some in pool.map(probe, tasks) for row in some}
        except BaseException:
            deadline.cancel()
            raise
    return [rows[route.name, feature] for route in routes for feature in FEATURES]


def absent(route: str, status: str, message: str, features: tuple[str, ...] = FEATURES) -> list[Row]:
    """The same row for every feature of a route."""
    return [{"route": route, "feature": feature, "status": status, "message": message} for feature in features]


def probe_route(
    route: str,
    device: str,
    log: Path,
    env: dict[str, str] | None,
    deadline: Deadline,
    features: tuple[str, ...] = FEATURES,
    command: tuple[str, ...] = COMMAND,
    feature_seconds: float = FEATURE_SECONDS,
) -> list[Row]:
    """Rows of one route, from as many children as it takes."""
    found: dict[str, tuple[str, str | None]] = {}
    left = list(features)
    while left and deadline.left() > 0:
        lost, silent = None, True
        for line in _lines(route, device, left, log, env, deadline, command, feature_seconds):
            if "begin" in line:
                lost, silent = line["begin"], False
            elif "feature" in line:
                found[line["feature"]] = (line["status"], line["message"])
                lost = None
            elif line["out_of_time"]:
                break
            elif silent:
                return absent(route, FAILS, f"before the first feature, {line['ended']}", features)
            elif lost:
                found[lost] = (FAILS, line["ended"])
        left = [feature for feature in left if feature not in found]
    for feature in left:
        found[feature] = (DID_NOT_RUN, OUT_OF_TIME)
    return [
        {"route": route, "feature": feature, "status": found[feature][0], "message": found[feature][1]}
        for feature in FEATURES
        if feature in found
    ]


def _lines(
    route: str,
    device: str,
    features: list[str],
    log: Path,
    env: dict[str, str] | None,
    deadline: Deadline,
    command: tuple[str, ...],
    feature_seconds: float,
) -> Iterator[dict[str, Any]]:
    """What a child says; last, if it did not say all, a line `ended` with how it went."""
    said: queue.Queue[str | None] = queue.Queue()
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [*command, route, device, *features],
            cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip

        def listen() -> None:
            assert child.stdout is not None
            for line in child.stdout:
                said.put(line)
            said.put(None)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        heard, ended, out_of_time, last = 0, None, False, time.monotonic()
        times = []
        try:
            while heard < len(features):
                try:
                    line = said.get(timeout=0.5)
                except queue.Empty:
                    out_of_time = deadline.left() <= 0
                    if out_of_time or time.monotonic() - last > feature_seconds:
                        ended = OUT_OF_TIME if out_of_time else f"nothing was heard within {feature_seconds:.0f} s"
                        break
                    continue
                last = time.monotonic()
                if line is None:
                    ended = _ending(child.wait(), errors)
                    break
                found = json.loads(line)
                heard += "feature" in found
                if "seconds" in found:
                    times.append(f"{found['feature']} {found['seconds']:.1f} s")
                yield found
        finally:
            _kill(child)
            errors.seek(0)
            with log.open("a") as stream:
                stream.write(f"== integration of {route}: {', '.join(times)}\n{errors.read()}\n")
        if ended:
            yield {"ended": ended, "out_of_time": out_of_time}


def _ending(code: int, errors: Any) -> str:
    """How a child ended, with the last line that it or a library in it wrote before the traceback."""
    how = f"the process was ended by {signal.Signals(-code).name}" if code < 0 else f"the process exited with {code}"
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    crash = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), len(lines))
    return one_line(f"{how}: {lines[crash - 1]}" if crash else how)


def _kill(child: subprocess.Popen[str]) -> None:
    """End a child and what it started, forked children that hang included."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


STAGES = (Stage("integration with PyTorch", 110, lambda plan: 90, stage, ("integration",)),)
