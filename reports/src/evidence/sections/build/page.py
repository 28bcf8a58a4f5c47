"""What the page shows of building: stages against routes, corresponding stages on one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import DOCUMENTED, SIDE_NAMES, SIDES, measured_representative, order
from evidence.core.thresholds import BUILD_SECONDS_MATTER
from evidence.page.blocks import Block, Figure, banner, rows_details
from evidence.page.common import ROUTE_NAMES, anchor, both_sides, by_name, finding, linked, number_range
from evidence.page.headline import RouteFigures
from evidence.page.table import BOTH, MARKDOWN, PAGE, Cell, Table, columns, numbers, row
from evidence.sections.build.table import KIND_NAMES, Stage, build, build_routes, failed_builds
from evidence.sections.build.row import BuildRow


def content(pack: Pack) -> list[Block]:
    """How long a developer waits: the stages of building as a figure and a table, corresponding ones on one line."""
    stages = stage_table(pack, both_sides(build_routes(build(pack))), PAGE)
    blocks = [*finding(*_findings(pack)), *banner(pack, "build", "Build time", BOTH)]
    if stages.rows:
        blocks += [
            Figure("build", table="rows-build"),
            stages,
            stage_table(pack, build_routes(build(pack)), MARKDOWN),
            rows_details("Every stage with range, memory and artifact", row_table(pack), id="rows-build"),
        ]
    return blocks


def _findings(pack: Pack) -> Iterator[str]:
    """From an edit to its result, and where a route compiles again for every shape."""
    stages = build(pack)
    edits = {route: text.seconds(stage.time.mid) for route, stage in stages.get("edit", {}).items() if stage.time}
    if figures := by_name(edits):
        yield f"From a one-line kernel edit to its first correct result: {figures}."
    for side in SIDES:
        route = DOCUMENTED[side]
        seconds = _seconds(stages, "first_call_new_shape", route)
        if seconds is not None and seconds >= BUILD_SECONDS_MATTER:
            yield f"The documented way of {SIDE_NAMES[side]} ({route}) compiles {text.seconds(seconds)} for every new shape."


def method(pack: Pack) -> str:
    """How build times were measured."""
    repeats = number_range([row.repeats for row in pack.table(BuildRow) if row.repeats])
    of_repeats = f" of {repeats} repeats" if repeats else ""
    return (
        "Each stage in a clean copy of the sources with emptied caches and no ccache; the mark is the median"
        f"{of_repeats}, the bar the whole range. An edit changes one line of a kernel and ends with the first correct "
        "result."
    )


METHODS = {"build": method}


def notices(pack: Pack) -> list[tuple[str, str]]:
    """Routes that did not build, joined where the reason is the same, each with the reason."""
    reasons: dict[str, list[str]] = {}
    for route, message in failed_builds(build(pack)).items():
        reasons.setdefault(message, []).append(route)
    return [(f"{', '.join(sorted(routes, key=order))} did not build:", message) for message, routes in reasons.items()]


def _seconds(stages: dict[str, dict[str, Stage]], kind: str, route: str) -> float | None:
    stage = stages.get(kind, {}).get(route)
    return stage.time.mid if stage and stage.time else None


def by_route(pack: Pack) -> list[RouteFigures]:
    """Seconds from an edit to its first correct result, by route."""
    stages = build(pack)
    values = {route: text.seconds(_seconds(stages, "edit", route)) for route in build_routes(stages)}
    return [RouteFigures(values, "Edit to result", True)]


def stage_table(pack: Pack, routes: Sequence[str], where: str) -> Table:
    """Stages against routes: the median, with a link to the row."""
    rows = (
        row(KIND_NAMES.get(kind, kind.replace("_", " ")), *(_cell(by_route.get(route)) for route in routes))
        for kind, by_route in build(pack).items()
    )
    names = [ROUTE_NAMES.get(route, route) if where == PAGE else route for route in routes]
    return Table("Build stages", columns("Stage", *numbers(*names)), tuple(rows), classes="dense", where=where)


def _cell(stage: Stage | None) -> Cell:
    if stage is None or stage.status == "no such stage":
        return Cell("–")
    return Cell(linked(text.seconds(stage.time.mid) if stage.time else stage.status, stage.pointer))


def row_table(pack: Pack) -> Table:
    """Every stage of every route: its range, what it cost besides time, and its message."""
    rows = (
        row(
            KIND_NAMES.get(stage.kind, stage.kind.replace("_", " ")),
            stage.route,
            text.seconds(stage.time.mid) if stage.time else stage.status,
            f"{text.seconds(stage.time.low)} to {text.seconds(stage.time.high)}" if stage.time else "–",
            stage.row.repeats or "–",
            "; ".join([*_costs(stage), *([] if stage.message is None else [stage.message])]) or "–",
            id=anchor(stage.pointer),
        )
        for by_route in build(pack).values()
        for stage in by_route.values()
    )
    heads = columns("Stage", "Route", *numbers("Median"), "Range", *numbers("Runs"), "Cost, message")
    return Table("Build rows", heads, tuple(rows), header=False)


def _costs(stage: Stage) -> list[str]:
    """What a stage cost besides its time: memory, CPU seconds, what it made or installed."""
    row = stage.row
    costs = []
    if row.peak_mb:
        costs.append(f"peak {text.size(row.peak_mb * 1e6)}")
    if row.cpu_seconds:
        costs.append(f"CPU {text.seconds(row.cpu_seconds)}")
    if row.artifact_bytes:
        costs.append(f"makes {text.size(row.artifact_bytes)}")
    if row.packages is not None:
        costs.append(text.count(row.packages, "package"))
    if row.install_bytes:
        costs.append(f"installs {text.size(row.install_bytes)}")
    return costs
