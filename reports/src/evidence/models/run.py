"""Runs the cases, each in a process of its own, and gives their rows as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.measure.machine import ROOT
from evidence.measure.runtime import Worker
from evidence.models import zoo

ROUTES = ("cpp", "mojo_aot", "mojo")
STARTED = ("cpp", "cpp_pybind", "cpp_classic", "mojo_aot", "mojo")
COMPILING = ("mojo_stock",)  # compiles at the first call of every shape; only its start is measured
TALK = "+ MLP"
TIMEOUT = 900.0
SECONDS = 40.0
QUICK_SECONDS = 12.0


@dataclass(frozen=True)
class Choice:
    """What to measure.

    models: names of the zoo, folders or hub ids.
    dtypes: `float32`, `bfloat16`.
    routes: of both sides.
    quick: small budgets, and no torch.compile.
    """

    models: tuple[str, ...]
    dtypes: tuple[str, ...]
    routes: tuple[str, ...] = ROUTES
    quick: bool = False

    def cases(self) -> list[dict[str, Any]]:
        """In the order in which they run: small models first."""
        cases: list[dict[str, Any]] = []
        for model in self.models:
            for dtype in self.dtypes:
                base = {"model": model, "dtype": dtype, "quick": self.quick}
                seconds = QUICK_SECONDS if self.quick else SECONDS
                cases.append({**base, "kind": "measure", "routes": list(self.routes), "seconds": seconds})
        smallest = {"model": self.models[0], "dtype": self.dtypes[0], "quick": self.quick}
        started = [zoo.ORIGINAL, *(STARTED if not self.quick else self.routes), *(() if self.quick else COMPILING)]
        cases += [{**smallest, "kind": "start", "route": route} for route in started]
        if not self.quick:
            for route in (zoo.ORIGINAL, *self.routes):
                cases.append({**smallest, "kind": "compiled", "route": route, "seconds": 10.0})
        return cases


def title(case: dict[str, Any]) -> str:
    """A case in a few words."""
    what = {"measure": "answers and speed", "start": f"start of {case.get('route')}"}
    return f"{case['model']} {case['dtype']}: {what.get(case['kind'], 'torch.compile, ' + str(case.get('route')))}"


def measure(
    choice: Choice, log: Path, tell: Callable[[dict[str, Any], dict[str, Any] | None], None]
) -> Iterator[list[dict[str, Any]]]:
    """The rows of each case, when it is done.

    Args:
        choice: what to measure.
        log: gets what the processes write.
        tell: called with a case when it begins, and with each of its rows.
    """
    for case in choice.cases():
        tell(case, None)
        given = {key: case[key] for key in ("model", "dtype")}
        if case["kind"] == "start":
            yield [{**given, **row} for row in _start(case, log)]
            continue
        rows: list[dict[str, Any]] = []

        def heard(line: dict[str, Any], rows: list = rows, case: dict = case, given: dict = given) -> None:
            if "row" in line:
                rows.append({**given, **line["row"]})
                tell(case, rows[-1])

        def lost(case: dict[str, Any], why: str, rows: list = rows, given: dict = given) -> None:
            route = case.get("route", "all")
            rows.append({**given, "kind": "lost", "stage": case["kind"], "route": route, "message": why})

        Worker("cpu", log, dict(os.environ), TIMEOUT, module="evidence.models.worker").run([case], heard, lost)
        yield rows


def _start(case: dict[str, Any], log: Path) -> list[dict[str, Any]]:
    stages = zoo.ZOO[case["model"]].stages if case["model"] in zoo.ZOO else zoo.LLAMA_STAGES
    floats = [stage for stage, _ in stages if stage != zoo.INT8]
    route = case["route"]
    stage = zoo.ORIGINAL if route == zoo.ORIGINAL else floats[2] if route in COMPILING else floats[-1]
    job = {"model": case["model"], "dtype": case["dtype"], "route": route, "stage": stage, "started": time.time()}
    try:
        child = subprocess.run(
            [sys.executable, "-m", "evidence.models.start", json.dumps(job)],
            cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [{"kind": "lost", "stage": "start", "route": route, "message": f"killed after {TIMEOUT:.0f} s"}]
    with log.open("a") as stream:
        stream.write(child.stderr)
    line = next((line for line in child.stdout.splitlines() if line.startswith("@@ ")), None)
    if line is None:
        last = (child.stderr.strip() or "no message").splitlines()[-1]
        return [{"kind": "lost", "stage": "start", "route": route, "message": f"ended with {child.returncode}: {last}"}]
    said = json.loads(line[3:])
    return [{"kind": "start", "stage": stage, "route": route, "marks": said["marks"], "peak_bytes": said["peak_bytes"]}]
