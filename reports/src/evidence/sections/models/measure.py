"""Runs the cases, each in a process of its own, and gives their rows as they come."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.core.case_runner import CaseRunner
from evidence.core.child import Child, Silent
from evidence.core.machine import ROOT
from evidence.core.recorded import KERNELS, Recorded, of_every_run
from evidence.core.routes import DOCUMENTED, SIDES, representatives
from evidence.core.stage import taken_over
from evidence.core.tables import convert
from evidence.sections.models.names import ORIGINAL
from evidence.sections.models.row import ModelRow
from shared_tests.route_table import facts

RECORDED = Recorded(
    (*KERNELS, "requirements.txt", "reports/src/evidence/sections/models/*.py"),
    machine=("key",),
    of_a_run=False,
    belongs=of_every_run,
)
"""Timed, so taken over on a machine of the same kind only."""

COMMAND = "`nox -s models` measures whole models and writes this section into the newest pack"
STAGES = (taken_over("models", 132, ("models",), COMMAND, RECORDED),)

ROUTES = tuple(representatives())
PARTS = ("measure", "start", "compiled")
STARTED = tuple(name for name, route in facts().items() if route.ours and not route.jit)
COMPILING = tuple(DOCUMENTED[side] for side in SIDES if facts()[DOCUMENTED[side]].jit)  # only their start is measured
TALK = 3  # stages of the talk
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
    parts: of PARTS; start and torch.compile are those of the first model in the first dtype.
    """

    models: tuple[str, ...]
    dtypes: tuple[str, ...]
    routes: tuple[str, ...] = ROUTES
    quick: bool = False
    parts: tuple[str, ...] = PARTS

    def cases(self) -> list[dict[str, Any]]:
        """In the order in which they run: all of the smallest model in its first dtype, then the others."""
        seconds = QUICK_SECONDS if self.quick else SECONDS
        every = [
            {"model": model, "dtype": dtype, "quick": self.quick, "kind": "measure", "routes": list(self.routes),
             "seconds": seconds}
            for dtype in self.dtypes
            for model in self.models
        ]  # fmt: skip
        smallest = {key: every[0][key] for key in ("model", "dtype", "quick")}
        started = [ORIGINAL, *(STARTED if not self.quick else self.routes), *(() if self.quick else COMPILING)]
        cases = [every[0], *({**smallest, "kind": "start", "route": route} for route in started)]
        if not self.quick:
            for route in (ORIGINAL, *self.routes):
                cases.append({**smallest, "kind": "compiled", "route": route, "seconds": 10.0})
        cases += every[1:]
        return [case for case in cases if case["kind"] in self.parts]


def title(case: dict[str, Any]) -> str:
    """A case in a few words."""
    what = {"measure": "answers and speed", "start": f"start of {case.get('route')}"}
    return f"{case['model']} {case['dtype']}: {what.get(case['kind'], 'torch.compile, ' + str(case.get('route')))}"


def measure(choice: Choice, log: Path, tell: Callable[[dict[str, Any]], None]) -> Iterator[list[ModelRow]]:
    """The rows of each case, when it is done.

    Args:
        choice: what to measure.
        log: gets what the processes write.
        tell: called with a case when it begins.
    """
    for case in choice.cases():
        tell(case)
        rows = _start(case, log) if case["kind"] == "start" else _worker(case, log)
        named = {"model": case["model"], "dtype": case["dtype"]}
        yield convert(ModelRow, [named | row for row in rows])


def _lost(case: dict[str, Any], why: str) -> dict[str, Any]:
    return {"kind": "lost", "stage": case["kind"], "route": case.get("route", "all"), "message": why}


def _worker(case: dict[str, Any], log: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def heard(line: dict[str, Any]) -> None:
        if "row" in line:
            rows.append(line["row"])

    worker = CaseRunner("models", "cpu", log, dict(os.environ), TIMEOUT)
    worker.run([case], heard, lambda case, why: rows.append(_lost(case, why)))
    return rows


def _start(case: dict[str, Any], log: Path) -> list[dict[str, Any]]:
    stages = TALK if case["route"] in COMPILING else 0  # 0: the last float stage, as index -1
    job = {**case, "stages": stages, "started": time.time()}
    command = [sys.executable, "-X", "faulthandler", "-m", "evidence.sections.models.start", json.dumps(job)]
    with Child(command, ROOT, lines=True) as child:
        try:
            lines = list(child.lines(TIMEOUT))
        except Silent as silent:
            return [_lost(case, f"killed after {TIMEOUT:.0f} s{silent.where}")]
        finally:
            output = child.output()
            with log.open("a") as stream:
                stream.write(output)
    if not lines:
        last = (output.strip() or "no message").splitlines()[-1]
        return [_lost(case, f"ended with {child.code}: {last}")]
    return [{"kind": "start", "route": case["route"], **lines[0]}]
