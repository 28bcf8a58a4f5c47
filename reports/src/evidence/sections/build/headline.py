"""What build times contribute to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.judge.comparison import BUILD_TIME, select
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.build.judge import compare
from evidence.sections.build.table import build


def _edit(pack: Pack) -> Mapping[str, str]:
    stages = build(pack).get("edit", {})
    return {route: text.seconds(stage.time.mid) for route, stage in stages.items() if stage.time}


def _builds(pack: Pack) -> Clause | None:
    """Who builds faster after an edit, in seconds of both."""
    edit = select(compare(pack), BUILD_TIME, "edit")
    if edit is None or edit.figures is None:
        return None
    cpp, mojo = map(text.seconds, edit.figures)
    if edit.won is None:
        return Clause(f"an edit takes about as long to build (C++ {cpp}, Mojo {mojo})", edit.rows)
    first, second = (cpp, mojo) if edit.won == "cpp" else (mojo, cpp)
    return Clause(f"{SIDE_NAMES[edit.won]} builds faster (edit to result {first} against {second})", edit.rows)


FIGURES = (Figure(40, "Edit to result", _edit),)
CLAUSES = (Saying("work", 10, _builds),)
