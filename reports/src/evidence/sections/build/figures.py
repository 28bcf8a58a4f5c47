"""The figure of build times."""

from __future__ import annotations

from collections.abc import Iterator

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import representatives
from evidence.page.common import anchor
from evidence.page.figure import Figure, Row, View, mark
from evidence.page.plots import marks
from evidence.sections.build.table import KIND_NAMES, Stage, build, build_routes

NO_STAGE = "no such stage"
SHORTEST_S = 1.0
"""Seconds from which a developer waits for a stage; shorter ones are lost on an axis of seconds."""

SHORT_NAMES = {
    KIND_NAMES["prerequisites"]: "prerequisites",
    KIND_NAMES["noop"]: "nothing changed",
    KIND_NAMES["edit"]: "edit to result",
    KIND_NAMES["binding_edit"]: "binding edit",
    KIND_NAMES["add_op"]: "new op",
    KIND_NAMES["add_arch"]: "one GPU more",
    KIND_NAMES["add_cpu"]: "another CPU",
    KIND_NAMES["first_call_new_shape"]: "first call, new shape",
}
"""Names of stages for figures that show them beside other losses."""


def figures(pack: Pack) -> list[Figure]:
    """Seconds of each build stage, corresponding stages together: the two sides and the engine, and every route."""
    stages = build(pack)
    sides = set(representatives())
    waited = {kind: by_route for kind, by_route in stages.items() if _longest(by_route, sides) >= SHORTEST_S}
    chosen = {"C++, Mojo and the MAX engine": (waited, sides), "Every route": (stages, set(build_routes(stages)))}
    spec = marks("seconds, left is quicker", "seconds", stems=True)
    rows = [row for view, (shown, routes) in chosen.items() for row in _stage_marks(shown, view, routes)]
    views = tuple(View(view, view, spec, still=not place) for place, view in enumerate(chosen))
    note = (
        "Mark: median over the repeats; bar: the fastest and the slowest of them. Stages that take each of them "
        "less than a second are in the view of every route."
    )
    return [Figure("build", "Build stages", note, views, tuple(rows), markdown=True)]


def _longest(by_route: dict[str, Stage], routes: set[str]) -> float:
    """Seconds of the slowest of these routes; those without a time are shown for what they say."""
    times = (stage.time.mid for route, stage in by_route.items() if route in routes and stage.time)
    return max(times, default=SHORTEST_S)


def _stage_marks(stages: dict[str, dict[str, Stage]], view: str, routes: set[str]) -> Iterator[Row]:
    """A mark for every stage that one of the routes has, those of one kind together."""
    line = 0
    for kind, by_route in stages.items():
        name = KIND_NAMES.get(kind, kind.replace("_", " "))
        shown = {route: stage for route, stage in by_route.items() if route in routes and stage.status != NO_STAGE}
        for route, stage in shown.items():
            caption = text.seconds(stage.time.mid) if stage.time else stage.status
            tip = "\n".join((name, route, caption, *([stage.message] if stage.message else [])))
            yield mark("Build stages", line, route, stage.time, caption, view=view, group=name, tip=tip,
                       row=anchor(stage.pointer))  # fmt: skip
            line += 1
