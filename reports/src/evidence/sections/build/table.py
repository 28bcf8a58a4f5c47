"""The stages of the build lab, route against route."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.sections.build.row import BuildRow

KIND_NAMES = {
    "prerequisites": "install the fewest packages that build it",
    "clean": "clean build",
    "noop": "build again, nothing changed",
    "edit": "one-line kernel edit to first correct result",
    "binding_edit": "one-line binding edit to first correct result",
    "add_op": "new op to its first correct result",
    "add_arch": "add one GPU architecture",
    "add_cpu": "build for another CPU",
    "import_load": "import and load",
    "first_call": "first call of an op",
    "first_call_new_shape": "first call of a further shape",
}
"""Stages of the build lab, in the order in which a developer meets them."""


@dataclass(frozen=True)
class Stage:
    """One row of the pack's `build` section; `time` in seconds."""

    route: str
    kind: str
    stage: str
    time: Interval | None
    status: str
    message: str | None
    row: BuildRow
    pointer: str


def build(pack: Pack) -> dict[str, dict[str, Stage]]:
    """kind -> route -> stage: corresponding stages of all routes on one line."""
    table: dict[str, dict[str, Stage]] = {}
    for pointed in pack.pointed(BuildRow):
        row = pointed.row
        time = interval(row.seconds_median, row.seconds_low, row.seconds_high) if row.status == "ok" else None
        table.setdefault(row.kind, {})[row.route] = Stage(
            row.route, row.kind, row.stage, time, row.status, row.message, row, pointed.pointer
        )
    kinds = [kind for kind in KIND_NAMES if kind in table]
    return {kind: dict(sorted(table[kind].items(), key=lambda item: order(item[0]))) for kind in kinds}


def build_routes(table: dict[str, dict[str, Stage]]) -> list[str]:
    """Routes with build rows, in report order."""
    return sorted({route for stages in table.values() for route in stages}, key=order)


def failed_builds(table: dict[str, dict[str, Stage]]) -> dict[str, str]:
    """route -> message, for routes that did not build."""
    failed: dict[str, str] = {}
    for stages in table.values():
        for route, stage in stages.items():
            if stage.status == "did not build":
                failed.setdefault(route, stage.message or "no message was recorded")
    return failed
