"""What may be timed: routes that were built and whose results are right."""

from __future__ import annotations

from typing import Any

from evidence.sections.correctness import measure as correctness
from shared_tests.routes import all_routes

Gated = dict[str, tuple[str, str]]


def gates(rows: list[dict[str, Any]], not_built: dict[str, str], case: dict[str, Any]) -> Gated:
    """Routes of a case that may not be timed: (status, reason).

    Args:
        rows: of the pack's `correctness` section.
        not_built: reasons by route or side.
        case: with `op`, `dtype` and `routes`.
    """
    found: Gated = {}
    for route in case["routes"]:
        side = all_routes()[route].side
        if reason := not_built.get(route) or not_built.get(side):
            found[route] = ("did not build", reason)
        elif reason := correctness.failed(rows, case["op"], route, case["dtype"]):
            found[route] = ("failed correctness", reason)
    return found
