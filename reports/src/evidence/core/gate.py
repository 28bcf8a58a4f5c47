"""What may be timed: routes that were built and whose results are right."""

from __future__ import annotations

from typing import Any

from evidence.core.stage import Run
from evidence.core.timings import Gated
from shared_tests.routes import all_routes


def close(run: Run, case: dict[str, Any]) -> Gated:
    """Take the routes that may not be timed out of a case; why they may not.

    Args:
        run: with the rows of `correctness` so far.
        case: with `op`, `dtype` and `routes`, and for run time `kernel_routes`.
    """
    rows = run.pack.rows("correctness")
    gated: Gated = {}
    for route in case["routes"]:
        side = all_routes()[route].side
        if reason := run.not_built.get(route) or run.not_built.get(side):
            gated[route] = ("did not build", reason)
        elif reason := failed(rows, case["op"], route, case["dtype"]):
            gated[route] = ("failed correctness", reason)
    for key in ("routes", "kernel_routes"):
        if key in case:
            case[key] = [route for route in case[key] if route not in gated]
    return gated


def failed(rows: list[dict[str, Any]], op: str, route: str, dtype: str) -> str | None:
    """Why a case may not be timed, or None: a failed test of the op on this route, in this dtype or in no one dtype."""
    for row in rows:
        if row["op"] == op and row["route"] == route and row["dtype"] in (dtype, "all") and row["failed"]:
            return row["message"] or "failed the shared suite"
    return None
