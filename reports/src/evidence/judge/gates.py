"""The gates of a decision: what a side must meet, met or not by the rows of the pack, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from evidence.core.pack import Pointed
from evidence.judge.declared import declared
from evidence.judge.scope import Scope


class Finding(NamedTuple):
    """Whether a requirement is met: None when it was not measured, and then `evidence` says what is needed."""

    met: bool | None
    evidence: str
    rows: list[str]


class Gate(NamedTuple):
    """A requirement in the reader's words and the function that looks for it."""

    id: str
    requirement: str
    find: Callable[[Scope, str], Finding]
    order: int = 0


def gates() -> dict[str, Gate]:
    """id -> gate of every section."""
    return declared("GATES", Gate)


def gate(name: str) -> Gate:
    """A gate by its id; one that no section declares is met by no side and missed by none."""
    missing = Finding(None, f"needs the requirement “{name}”, which no section of this release judges", [])
    return gates().get(name) or Gate(name, name, lambda scope, side: missing)


def of_representative(
    scope: Scope, side: str, entries: Sequence[Pointed[Any]]
) -> tuple[str | None, list[Pointed[Any]]]:
    """The side's representative among the routes of some rows, and its rows."""
    route = scope.representative(side, {entry.row.route for entry in entries})
    return route, [entry for entry in entries if entry.row.route == route]
