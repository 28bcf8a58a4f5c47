"""What build times contribute to the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.judge.comparison import BUILD_TIME, select
from evidence.judge.headline import Clause, Figure, Saying, both
from evidence.sections.build.judge import compare
from evidence.sections.build.table import build


def _seconds(kind: str) -> Callable[[Pack], Mapping[str, str]]:
    def by_route(pack: Pack) -> Mapping[str, str]:
        stages = build(pack).get(kind, {})
        return {route: text.seconds(stage.time.mid) for route, stage in stages.items() if stage.time}

    return by_route


def _builds(pack: Pack) -> Clause | None:
    """Who builds faster after an edit, in seconds of both."""
    edit = select(compare(pack), BUILD_TIME, "edit")
    if edit is None or edit.figures is None:
        return None
    cpp, mojo = map(text.seconds, edit.figures)
    if edit.won is None:
        return Clause(f"which side builds faster is too close to call (edit to result: {both(cpp, mojo)})", edit.rows)
    first, second = (cpp, mojo) if edit.won == "cpp" else (mojo, cpp)
    return Clause(f"{SIDE_NAMES[edit.won]} builds faster (edit to result {first} against {second})", edit.rows)


FIGURES = (Figure(40, "Edit to result", _seconds("edit")),)
COSTS = (
    Figure(30, "One more op: build to first result", _seconds("add_op")),
    Figure(35, "Clean build", _seconds("clean")),
)
CLAUSES = (Saying("work", 10, _builds),)
