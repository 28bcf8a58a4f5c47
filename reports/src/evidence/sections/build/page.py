"""What the page shows of building: stages against routes, corresponding stages on one line."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import DOCUMENTED, SIDES, measured_representative, order
from evidence.core.thresholds import BUILD_SECONDS_MATTER
from evidence.page.blocks import Block, Figure, Text, banner
from evidence.page.common import anchor, number_range
from evidence.page.headline import Card, RouteFigures, SideFigure
from evidence.page.table import BOTH, Cell, Table, columns, row
from evidence.sections.build.table import KIND_NAMES, Stage, build, build_routes, failed_builds
from evidence.sections.build.row import BuildRow


def content(pack: Pack) -> list[Block]:
    """The stages of building as a figure and a table."""
    blocks: list[Block] = [
        Text(
            "How long a developer waits. Each line compares the same step of all routes; a route without that step "
            "says so."
        ),
        *banner(pack, "build", "Build time", BOTH),
    ]
    stages = stage_table(pack)
    if stages.rows:
        note = "Mark: median; bar: range over the repeats. Logarithmic axis."
        blocks += [Figure("build", note, stages.id), stages]
    return blocks


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


def card(pack: Pack) -> Card:
    """Seconds from an edit to its first correct result."""
    quantity = "one-line kernel edit to first correct result"
    stages = build(pack)
    return Card("build", "Build time", quantity, tuple(_side_figure(stages, side) for side in SIDES))


def _side_figure(stages: dict[str, dict[str, Stage]], side: str) -> SideFigure:
    route = measured_representative(side, build_routes(stages))
    if route is None:
        return SideFigure(side, None, None, ("not measured",))
    failed = failed_builds(stages).get(route)
    notes = [f"did not build: {failed}"] if failed else []
    for name, seconds in (
        ("clean", _seconds(stages, "clean", route)),
        ("nothing changed", _seconds(stages, "noop", route)),
    ):
        if seconds is not None:
            notes.append(f"{name} {text.seconds(seconds)}")
    documented = DOCUMENTED[side]
    waits = []
    for kind, name in (("edit", "edit"), ("first_call_new_shape", "every new shape")):
        seconds = _seconds(stages, kind, documented)
        if seconds is not None and seconds >= BUILD_SECONDS_MATTER:
            waits.append(f"{name} {text.seconds(seconds)}")
    if waits:
        notes.append(f"as documented ({documented}): {', '.join(waits)}")
    edit = _seconds(stages, "edit", route)
    return SideFigure(side, route, None if edit is None else text.seconds(edit), tuple(notes))


def _seconds(stages: dict[str, dict[str, Stage]], kind: str, route: str) -> float | None:
    stage = stages.get(kind, {}).get(route)
    return stage.time.mid if stage and stage.time else None


def by_route(pack: Pack) -> list[RouteFigures]:
    """Seconds from an edit to its first correct result, by route."""
    stages = build(pack)
    values = {route: text.seconds(_seconds(stages, "edit", route)) for route in build_routes(stages)}
    return [RouteFigures(values, "Edit to result", True, "One-line kernel edit to first correct result")]


def stage_table(pack: Pack) -> Table:
    """Stages against routes."""
    stages = build(pack)
    routes = build_routes(stages)
    rows = (
        row(KIND_NAMES.get(kind, kind.replace("_", " ")), *(_cell(by_route.get(route)) for route in routes))
        for kind, by_route in stages.items()
    )
    return Table("Build stages", columns("Stage", *routes), tuple(rows), id="rows-build", where=BOTH)


def _cell(stage: Stage | None) -> Cell:
    if stage is None:
        return Cell("–")
    notes = [] if stage.message is None else [stage.message]
    if not stage.time:
        return Cell(stage.status, details=tuple(notes), id=anchor(stage.pointer))
    spread = f"{text.seconds(stage.time.low)} to {text.seconds(stage.time.high)}"
    runs = f"{spread}, {stage.row.repeats} runs" if stage.row.repeats > 1 else "1 run"
    details = "; ".join([", ".join([runs, *_costs(stage)]), *notes])
    return Cell(text.seconds(stage.time.mid), details=(details,), id=anchor(stage.pointer))


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
