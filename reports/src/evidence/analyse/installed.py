"""What a route installs to build and to run, from the package records in the section `footprint`."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.analyse.judgement import pointed
from evidence.analyse.routes import order
from evidence.pack import Pack


@dataclass(frozen=True)
class Installed:
    """Sum of a route's records for one purpose.

    `size` holds everything with a size, artifacts too; `unknown` counts the records without one. `names` are packages.
    """

    route: str
    size: int
    names: tuple[str, ...]
    system: tuple[str, ...]
    unknown: int
    pointers: tuple[str, ...]


def installed(pack: Pack, route: str, purpose: str) -> Installed | None:
    """What `route` needs to `build` or to `run`; None when the pack has no record of it."""
    found = [one for one in pointed(pack, "footprint") if (one.row["route"], one.row["purpose"]) == (route, purpose)]
    if not found:
        return None
    rows = [one.row for one in found]
    return Installed(
        route,
        sum(row["bytes"] or 0 for row in rows),
        tuple(row["package"] for row in rows if row["kind"] != "artifact"),
        tuple(row["package"] for row in rows if row["kind"] == "system package"),
        sum(row["bytes"] is None for row in rows),
        tuple(one.pointer for one in found),
    )


def routes_installed(pack: Pack) -> list[str]:
    """Routes with footprint records, in report order."""
    return sorted({row["route"] for row in pack.rows("footprint")}, key=order)
