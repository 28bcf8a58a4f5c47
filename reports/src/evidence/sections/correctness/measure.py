"""The correctness gate: the shared suite in a process of its own for each route, counted by op, route and dtype."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evidence.core.machine import ROOT
from evidence.core.pack import PARTIAL
from evidence.core.stage import Run, Stage
from shared_tests.routes import Route

Row = dict[str, Any]
AT_ONCE = 2  # nothing is timed here
TIMEOUT = 900.0


def stage(run: Run) -> None:
    """Every route that is built ahead of time; the others are held to the reference on each sample that is timed."""
    plan = run.plan
    missing = unavailable(run)
    routes = [route for route in plan.route_objects() if route.name in missing or not route.jit]
    extra = ("--few-samples",) if plan.quick else ()
    suites = Suites(plan.ops, plan.device, run.log, extra)
    rows: list[Row] = []

    def check(route: Route) -> list[Row]:
        if why := missing.get(route.name):
            counts = {"passed": 0, "failed": 0, "skipped": 1, "message": f"did not build: {why}"}
            return [{"op": op, "route": route.name, "dtype": "all", "device": plan.device, **counts} for op in plan.ops]
        run.tell(f"correctness of {route.name}")
        return suites.run(route.name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for found in pool.map(check, routes):
                rows += found
                run.pack.set_rows("correctness", rows, PARTIAL, "interrupted")
                run.progress.advance(run.task, 10)
        except BaseException:
            suites.stop()
            raise
    run.pack.set_rows("correctness", rows)
    run.not_built.update(missing)


def unavailable(run: Run) -> dict[str, str]:
    """Routes of the plan that cannot be called, with the reason; asked in processes of their own.

    One process asks for all of them; what a crash left unanswered is asked again, a process a route.
    """
    reasons = {r.name: run.not_built[r.side] for r in run.plan.route_objects() if r.side in run.not_built}
    asked = [r.name for r in run.plan.route_objects() if r.name not in reasons and r.package and not r.jit]
    answers, _ = _ask(asked)
    for name in asked:
        if name not in answers:
            alone, code = _ask([name])
            answers[name] = alone.get(name, f"importing it ended the process with {code}")
    return reasons | {name: why for name, why in answers.items() if why}


PROBE = """
import sys
from shared_tests.routes import all_routes
for name in sys.argv[1:]:
    print("@@", name, all_routes()[name].unavailable() or "", flush=True)
"""


def _ask(names: list[str]) -> tuple[dict[str, str], int]:
    """Why each route is unavailable (empty: it is not), as far as the process got, and its exit code."""
    done = subprocess.run([sys.executable, "-c", PROBE, *names], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("@@ ")]
    return {name: why for _, name, why in lines}, done.returncode


class Suites:
    """Runs the shared suite, one process a route; several may run at once."""

    def __init__(self, ops: list[str], device: str, log: Path, extra: tuple[str, ...] = (), timeout: float = TIMEOUT):
        """`extra` are further arguments of the suite, `timeout` in seconds for a route."""
        self.ops, self.device, self.log, self.extra, self.timeout = ops, device, log, extra, timeout
        self.running: set[subprocess.Popen] = set()
        self.stopped = False

    def run(self, route: str) -> list[Row]:
        """Rows of the `correctness` section for one route.

        A crash or a hang of the suite's process is a failed row for every op, with the exit code in its message.
        """
        with tempfile.TemporaryDirectory() as folder:
            verdicts = Path(folder) / "verdicts.json"
            command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-p", "no:cacheprovider",
                       "shared_tests/test_correctness.py", "shared_tests/test_errors.py", "--routes", route,
                       "--ops", ",".join(self.ops), "--device", self.device, "--verdicts", str(verdicts),
                       *self.extra]  # fmt: skip
            code = self._end(command)
            if code in (0, 1) and verdicts.exists():
                return [{**row, "device": self.device} for row in json.loads(verdicts.read_text())]
        message = f"the suite's process ended with {code}; see {self.log.name}"
        empty = {"passed": 0, "failed": 1, "skipped": 0, "message": message}
        return [{"op": op, "route": route, "dtype": "all", "device": self.device, **empty} for op in self.ops]

    def _end(self, command: list[str]) -> int | str:
        if self.stopped:
            return "an interruption"
        with self.log.open("a") as stream:
            process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
            self.running.add(process)
            try:
                return process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return f"nothing within {self.timeout:.0f} s"
            finally:
                self.running.discard(process)

    def stop(self) -> None:
        """End those that run, and start no more."""
        self.stopped = True
        for process in list(self.running):
            process.kill()


def failed(rows: list[Row], op: str, route: str, dtype: str) -> str | None:
    """Why a case may not be timed, or None: a failed test of the op on this route, in this dtype or in no one dtype."""
    for row in rows:
        if row["op"] == op and row["route"] == route and row["dtype"] in (dtype, "all") and row["failed"]:
            return row["message"] or "failed the shared suite"
    return None


STAGES = (Stage("correctness", 20, lambda plan: 70, stage, ("correctness",)),)
