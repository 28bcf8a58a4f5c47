"""Upgrade survival for real: a built library loaded and called once by another interpreter, with another PyTorch.

`EVIDENCE_OTHER_PYTHONS` names the interpreters, separated as in PATH. Each needs a PyTorch of its own (a CPU build will
do); nothing is installed into them. The packages come from this checkout, as it is built.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evidence.core import json_lines
from evidence.core.child import Finished, run_command
from evidence.core.machine import ROOT
from evidence.sections.install.row import Method, Outcome, UpgradeRow
from shared_tests.route_table import facts

VARIABLE = "EVIDENCE_OTHER_PYTHONS"
SECONDS = 60.0

_CHILD = """
import json, os, sys

def say(**facts):
    print("@@ " + json.dumps(facts), flush=True)

def told(error):
    return f"{{type(error).__name__}}: {{error}}"

try:
    import torch
except Exception as error:
    say(stage="torch", error=told(error))
    sys.exit()
say(stage="torch", torch=torch.__version__, python=sys.version.split()[0])
try:
    {before}
    {use}
    add = {call}
except Exception as error:
    say(stage="load", error=told(error))
    sys.exit()
say(stage="load")
try:
    x = torch.arange(64.0).view(8, 8)
    got = add(x, x.flip(0))
except Exception as error:
    say(stage="call", error=told(error))
    sys.exit()
say(stage="call", right=bool(torch.equal(got, x + x.flip(0))))
os._exit(0)  # not by way of the exit handlers, which are another matter
"""


@dataclass(frozen=True)
class Tried:
    """What became of a library in another process; `torch` is None where that process has none."""

    torch: str | None
    outcome: Outcome
    message: str

    def row(self, artifact: str, route: str, built_with: str, loaded_under: str, method: Method) -> UpgradeRow:
        """The row of this artifact; `method` is how it was tried, if it was."""
        return UpgradeRow(
            artifact=artifact,
            route=route,
            built_with=built_with,
            loaded_under=loaded_under,
            method="did not run" if self.outcome == "did not run" else method,
            outcome=self.outcome,
            message=self.message,
        )


def child(route: str, before: str = "pass") -> str:
    """The program that loads and calls a route's add; `before` is run once PyTorch is imported."""
    record = facts()[route]
    return _CHILD.format(use=record.load, call=record.add, before=before)


def judge(finished: Finished) -> Tried:
    """What a finished child shows.

    `refused`: it raised when it was loaded. `fails`: it raised when it was called, the sum was wrong, or it had no end.
    """
    lines = json_lines.read(finished.output)
    at = {facts["stage"]: facts for facts in lines}
    torch = at.get("torch", {}).get("torch")
    last = lines[-1] if lines else {}
    if finished.code is None:
        return Tried(torch, "fails", f"no end within {finished.seconds:.0f} s")
    if "error" in last:
        outcomes: dict[str, Outcome] = {"torch": "did not run", "load": "refused", "call": "fails"}
        return Tried(
            torch,
            outcomes[last["stage"]],
            f"{'import torch: ' if last['stage'] == 'torch' else ''}{last['error']}"[:600],
        )
    if "right" in last:
        if last["right"]:
            return Tried(torch, "works", "loaded, add gives the right sum")
        return Tried(torch, "fails", "add gives a wrong sum")
    how = f"exit code {finished.code}"
    if finished.code < 0:
        how = f"killed by {signal.Signals(-finished.code).name}"
    return Tried(torch, "crash" if lines else "did not run", f"the process ended with {how}: {finished.error}")


def environment(*paths: Path | str) -> dict[str, str]:
    """This environment, with the sources of both packages and `paths` in front on the import path."""
    search = [*map(str, paths), str(ROOT / "cpp_ext/src"), str(ROOT / "mojo_ops/src")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search)}


def other_pythons() -> list[str]:
    """The interpreters that the environment names."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def try_route(route: str, python: str, before: str = "pass", env: dict[str, str] | None = None) -> Tried:
    """Load and call a route once in another interpreter."""
    try:
        finished = run_command([python, "-c", child(route, before)], ROOT, env or environment(), SECONDS)
    except OSError as error:
        return Tried(None, "did not run", f"{python} could not be started: {error}")
    return judge(finished)


def load_rows(routes: Iterable[str], built_with: str, artifacts: dict[str, str]) -> list[UpgradeRow]:
    """One row for each built library and each other interpreter.

    Args:
        routes: those of the run.
        built_with: the PyTorch of the build.
        artifacts: route -> name of its built library.
    """
    rows = []
    tried = [route for route in routes if route in artifacts]
    for python in other_pythons():
        for route in tried:
            attempt = try_route(route, python)
            under = f"torch {attempt.torch}" if attempt.torch else python
            rows.append(attempt.row(artifacts[route], route, built_with, under, "loaded"))
    if not other_pythons():
        message = f"no other interpreter was given: name some in {VARIABLE}, separated as in PATH, each with a PyTorch "
        untried = Tried(None, "did not run", message + "of another version; a CPU build will do")
        rows += [untried.row(artifacts[route], route, built_with, "another torch", "loaded") for route in tried]
    return rows
