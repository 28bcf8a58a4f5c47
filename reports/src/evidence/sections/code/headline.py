"""What code size contributes to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.judge.comparison import select
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.code.judge import OWN, SIZE, SizeComparison, compare
from evidence.sections.code.table import code, code_routes, effort


def _tokens(pack: Pack) -> Mapping[str, str]:
    return {route: text.thousands(code(pack, route).tokens) for route in code_routes(pack)}


def _size(pack: Pack) -> Clause | None:
    """Whose ops are shorter, by tokens and gzip bytes together."""
    size = select(compare(pack), SIZE, OWN)
    if not isinstance(size, SizeComparison):
        return None
    cpp, mojo = (text.thousands(each.tokens) for each in size.sizes)
    what = "code of all ops for CPU and GPU"
    if size.won is None:
        return Clause(f"both need about as much {what} ({cpp} against {mojo} tokens)", size.rows)
    first, second = (cpp, mojo) if size.won == "cpp" else (mojo, cpp)
    return Clause(f"{SIDE_NAMES[size.won]} needs less {what} ({first} against {second} tokens)", size.rows)


def _files(pack: Pack) -> Mapping[str, str]:
    return {row.route: text.count(row.files, "file") for row in effort(pack)}


def _lines(pack: Pack) -> Mapping[str, str]:
    """Lines of the median op, and how many of them only a GPU needs."""
    return {
        row.route: f"{row.lines} lines" + (f", {row.gpu_lines} for GPUs" if row.gpu_lines else "")
        for row in effort(pack)
    }


FIGURES = (Figure(50, "Code (tokens)", _tokens),)
COSTS = (Figure(10, "One more op: new files", _files), Figure(20, "One more op: median op", _lines))
CLAUSES = (Saying("work", 20, _size),)
