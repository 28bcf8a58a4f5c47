"""The verdict: one statement a decision question, computed by a rule from the rows it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evidence.core import text
from evidence.core.pack import DID_NOT_RUN, Pack
from evidence.core.routes import REPRESENTATIVE, SIDE_NAMES, SIDES, side_of
from evidence.core.section import declarations
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.declared import declared
from evidence.judge.row import VerdictRow

Statement = VerdictRow
"""One statement of the first screen."""


class Asked(NamedTuple):
    """What makes a statement: `state` returns None where the pack gives no reason to ask."""

    id: str
    order: int
    state: Callable[[Pack], Statement | None]


def verdict(pack: Pack) -> list[Statement]:
    """The statements of all sections, in the order in which a decider reads them."""
    statements = (question.state(pack) for question in declared("STATEMENTS", Asked).values())
    return [statement for statement in statements if statement is not None]


def not_measured(name: str, question: str, rule: str, reason: str) -> Statement:
    """A statement that the pack has no rows for."""
    return Statement(name, question, NOT_MEASURED, rule, f"{text.upper_first(reason)}.")


def failed_routes(pack: Pack) -> dict[str, str]:
    """Route -> message of those that could not be built, as far as a section says so."""
    return {
        route: message
        for _, failed in declarations("judge", "failed_routes")
        for route, message in failed(pack).items()
    }


def why_not(pack: Pack, section: str) -> str:
    """Why a section cannot be judged: a side that did not build, or the section's own reason."""
    reason = pack.reason(section)
    if pack.section_status(section) == DID_NOT_RUN:
        return f"{section} did not run: {reason}"
    failed = failed_routes(pack)
    for side in SIDES:
        messages = [message for route, message in failed.items() if side_of(route) == side]
        if messages:
            return f"{SIDE_NAMES[side]} did not build: {messages[0]}"
    planned = pack.facts("settings").get("routes")
    missing = [
        f"{route}, which represents {SIDE_NAMES[side]} on the CPU, was not in this run"
        for side, route in REPRESENTATIVE.items()
        if isinstance(planned, list) and route not in planned
    ]
    if missing:
        return " and ".join(missing)
    return f"{section} ran in part: {reason}" if reason else f"no row of {section} holds both sides"
