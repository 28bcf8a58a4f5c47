"""The correctness gate: the shared suite in a process of its own for each route, counted by op, route and dtype."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from evidence.core.child import Child, Silent, run_command, side_by_side
from evidence.core.machine import ROOT
from evidence.core.pack import PARTIAL
from evidence.core.plan import Plan
from evidence.core.stage import Run, Stage
from evidence.sections.correctness import specs
from evidence.sections.correctness.row import CorrectnessRow
from shared_tests.routes import Route
from shared_tests.spec import all_specs

AT_ONCE = 2  # nothing is timed here
TIMEOUT = 900.0


def stage(run: Run) -> None:
    """Every route that is built ahead of time; the others are held to the reference on each sample that is timed."""
    plan = run.plan
    missing = unavailable(run)
    routes = [route for route in plan.route_objects() if route.name in missing or not route.jit]
    extra = () if plan.full else ("--few-samples",)
    suites = Suites(plan.ops, plan.device, run.log, extra)
    rows: list[CorrectnessRow] = []

    def check(route: Route) -> list[CorrectnessRow]:
        if why := missing.get(route.name):
            return whole(plan.ops, route.name, plan.device, f"did not build: {why}", skipped=1)
        run.tell(f"correctness of {route.name}")
        return suites.run(route.name)

    with closing(side_by_side([partial(check, route) for route in routes], AT_ONCE, in_order=True)) as results:
        for of_route in results:
            rows += of_route
            run.pack.set_rows("correctness", rows, PARTIAL, "interrupted")
            run.progress.advance(run.task, 10)
    run.pack.set_rows("correctness", rows)
    run.not_built.update(missing)


def unavailable(run: Run) -> dict[str, str]:
    """Routes of the plan that cannot be called, with the reason; each is imported in a child process.

    One process imports all of them; after a crash, every route without an answer gets its own process.
    """
    reasons = {r.name: run.not_built[r.side] for r in run.plan.route_objects() if r.side in run.not_built}
    candidates = [r.name for r in run.plan.route_objects() if r.name not in reasons and r.package and not r.jit]
    answers, _ = _ask(candidates)
    for name in candidates:
        if name not in answers:
            alone, code = _ask([name])
            answers[name] = alone.get(name, f"importing it ended the process with {code}")
    return reasons | {name: why for name, why in answers.items() if why}


PROBE = """
import sys
from evidence.core.json_lines import say
from shared_tests.routes import all_routes
for name in sys.argv[1:]:
    say(route=name, why=all_routes()[name].unavailable() or "")
"""


def _ask(names: list[str]) -> tuple[dict[str, str], int | None]:
    """Why each route is unavailable (empty: it is not), as far as the process got, and its exit code."""
    answers = {}
    with Child([sys.executable, "-c", PROBE, *names], ROOT, lines=True) as child:
        with suppress(Silent):
            for line in child.lines(TIMEOUT):
                answers[line["route"]] = line["why"]
        return answers, child.code


class Suites:
    """Runs the shared suite, one process a route; several may run at once."""

    def __init__(self, ops: list[str], device: str, log: Path, extra: tuple[str, ...] = (), timeout: float = TIMEOUT):
        """`extra` are further arguments of the suite, `timeout` in seconds for a route."""
        self.ops, self.device, self.log, self.extra, self.timeout = ops, device, log, extra, timeout

    def run(self, route: str) -> list[CorrectnessRow]:
        """Rows of the `correctness` section for one route.

        A crash or a hang of the suite's process is a failed row for every op, with the exit code in its message.
        """
        with tempfile.TemporaryDirectory() as folder:
            verdicts = Path(folder) / "verdicts.json"
            command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-p", "no:cacheprovider",
                       "shared_tests/test_correctness.py", "shared_tests/test_errors.py", "--routes", route,
                       "--ops", ",".join(self.ops), "--device", self.device, "--verdicts", str(verdicts),
                       *self.extra]  # fmt: skip
            done = run_command(command, ROOT, timeout=self.timeout)
            with self.log.open("a") as stream:
                stream.write(done.output)
            if done.code in (0, 1) and verdicts.exists():
                return [CorrectnessRow(**row, device=self.device) for row in json.loads(verdicts.read_text())]
        how = f"nothing within {self.timeout:.0f} s" if done.code is None else done.code
        message = f"the suite's process ended with {how}; see {self.log.name}"
        return whole(self.ops, route, self.device, message, failed=1)


def whole(
    ops: list[str], route: str, device: str, message: str, failed: int = 0, skipped: int = 0
) -> list[CorrectnessRow]:
    """A row for every op of a route whose checks did not run."""
    return [
        CorrectnessRow(
            op=op, route=route, dtype="all", device=device, passed=0, failed=failed, skipped=skipped, message=message
        )
        for op in ops
    ]


def add_timed_routes(run: Run, counts: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    """Rows of routes that skip the suite, from the checks of their timed calls.

    Args:
        run: whose pack gets them.
        counts: (op, route, dtype) -> passed, failed, skipped, message.
    """
    added = [
        CorrectnessRow(op=op, route=route, dtype=dtype, device=run.plan.device, **count)
        for (op, route, dtype), count in counts.items()
    ]
    run.pack.set_rows("correctness", [*run.pack.table(CorrectnessRow), *added])


def estimate(plan: Plan) -> float:
    """Seconds of the stage on two cores: importing PyTorch, the route and pytest, then the samples of each op."""
    routes = sum(not route.jit for route in plan.route_objects())
    return routes * (4.0 + (60.0 if plan.full else 4.0) * len(plan.ops) / len(all_specs()))


STAGES = (
    Stage("specs", 19, lambda plan: 5, specs.stage, ("specs",), always=True),
    Stage("correctness", 20, estimate, stage, ("correctness",), always=True, what=Plan.extent),
)
