"""Integration debt: which features of PyTorch each route works with, found by calling it.

Every route is probed in a child process. A feature that ends the child, or of which nothing is heard in time, is a row
`fails` with what was seen; a fresh child goes on with the next feature.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from evidence.core.child import Child, Children, Silent, Stopped, side_by_side
from evidence.core.machine import ROOT
from evidence.core.pack import Row
from evidence.core.plan import Plan
from evidence.core.recorded import KERNELS, Recorded
from evidence.core.stage import Run, Stage
from evidence.sections.integration.outcome import DID_NOT_RUN, FAILS, FEATURES, NOT_APPLICABLE, one_line
from evidence.sections.integration.row import IntegrationRow, Status
from shared_tests.routes import Route

BUDGET_SECONDS = 130.0
FEATURE_SECONDS = 45.0
OUT_OF_TIME = "the time of this stage was over"
AT_ONCE = 2
"""Children side by side: nothing is timed here."""

COMMAND = (sys.executable, "-X", "faulthandler", "-m", "evidence.sections.integration.child")

LONG = ("aot_inductor",)
QUICK = tuple(sorted((f for f in FEATURES if f not in LONG), key=("export", "compile_dynamic", "fork").count))
"""Those that may leave a child in pieces come last."""


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
    env: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = print,
    budget: float = BUDGET_SECONDS,
    quick: bool = False,
) -> list[IntegrationRow]:
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
    children = Children(budget)

    def probe(task: tuple[Route, tuple[str, ...]]) -> list[IntegrationRow]:
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
        if children.left() > 0:
            tell(f"integration of {route.name}")
        return probe_route(route.name, device, log, env, children, features)

    # The registered routes first in all that they are asked; routes that may compile for a minute last.
    order = sorted(routes, key=lambda route: (route.jit, route.namespace is None))
    built, compiled_later = ([r for r in order if not r.jit], [r for r in order if r.jit])
    tasks = [(route, features) for group in (built, compiled_later) for features in (QUICK, LONG) for route in group]
    of_routes = list(side_by_side([partial(probe, task) for task in tasks], AT_ONCE, children=children))
    rows = {(row.route, row.feature): row for of_route in of_routes for row in of_route}
    return [rows[route.name, feature] for route in routes for feature in FEATURES]


def absent(route: str, status: Status, message: str, features: tuple[str, ...] = FEATURES) -> list[IntegrationRow]:
    """The same row for every feature of a route."""
    return [IntegrationRow(route=route, feature=feature, status=status, message=message) for feature in features]


def probe_route(
    route: str,
    device: str,
    log: Path,
    env: Mapping[str, str] | None,
    children: Children,
    features: tuple[str, ...] = FEATURES,
    command: tuple[str, ...] = COMMAND,
    feature_seconds: float = FEATURE_SECONDS,
) -> list[IntegrationRow]:
    """Rows of one route, from as many children as it takes."""
    outcomes: dict[str, tuple[Status, str | None]] = {}
    left = list(features)
    while left and children.left() > 0:
        probing: str | None = None
        ended: str | None = None
        begun = False
        with suppress(Stopped), Child([*command, route, device, *left], ROOT, env, True, children) as child:
            seconds = []
            try:
                for line in child.lines(feature_seconds):
                    if "begin" in line:
                        probing, begun = line["begin"], True
                        continue
                    outcomes[line["feature"]] = (line["status"], line["message"])
                    seconds.append(f"{line['feature']} {line.get('seconds', 0):.1f} s")
                    probing = None
                    if len(seconds) == len(left):
                        break  # whatever it does at its exit is no feature
                else:
                    ended = _ending(child.code, child.output())
            except Silent as silent:
                ended = f"nothing was heard within {feature_seconds:.0f} s{silent.where}"
            finally:
                with log.open("a") as stream:
                    stream.write(f"== integration of {route}: {', '.join(seconds)}\n{child.output()}\n")
        if ended and not begun:
            return absent(route, FAILS, f"before the first feature, {ended}", features)
        if ended and probing:
            outcomes[probing] = (FAILS, ended)
        left = [feature for feature in left if feature not in outcomes]
    for feature in left:
        outcomes[feature] = (DID_NOT_RUN, OUT_OF_TIME)
    return [
        IntegrationRow(route=route, feature=feature, status=outcomes[feature][0], message=outcomes[feature][1])
        for feature in FEATURES
        if feature in outcomes
    ]


def _ending(code: int | None, output: str) -> str:
    """How a child ended, with the last line that it or a library in it wrote before the traceback."""
    how = f"exited with {code}" if code is None or code >= 0 else f"was ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    crash = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), len(lines))
    return one_line(f"the process {how}" + (f": {lines[crash - 1]}" if crash else ""))


def estimate(plan: Plan) -> float:
    """Seconds of the stage on two cores."""
    return 90.0 if plan.full else 45.0


def _complete(row: Row) -> bool:
    return bool(row["message"] != OUT_OF_TIME)


RECORDED = Recorded(
    (*KERNELS, "shared_tests/*.py", "shared_tests/ops/*.py", "reports/src/evidence/sections/integration/*"),
    complete=_complete,
)

STAGES = (
    Stage("integration with PyTorch", 110, estimate, stage, ("integration",), recorded=RECORDED, what=Plan.extent),
)
