"""What code size contributes to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.judge.comparison import select
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.code.judge import OWN, SIZE, SizeComparison, compare
from evidence.sections.code.table import code, code_routes


def _tokens(pack: Pack) -> Mapping[str, str]:
    return {route: text.thousands(code(pack, route).tokens) for route in code_routes(pack)}


def _size(pack: Pack) -> Clause | None:
    """Whose ops are shorter, by tokens and gzip bytes together."""
    size = select(compare(pack), SIZE, OWN)
    if not isinstance(size, SizeComparison):
        return None
    cpp, mojo = (f"{text.thousands(each.tokens)} tokens" for each in size.sizes)
    if size.won is None:
        return Clause(f"both need about as much code for an op ({cpp} against {mojo} for all)", size.rows)
    first, second = (cpp, mojo) if size.won == "cpp" else (mojo, cpp)
    return Clause(f"{SIDE_NAMES[size.won]} needs less code for an op ({first} against {second} for all)", size.rows)


FIGURES = (Figure(50, "Code (tokens)", _tokens),)
CLAUSES = (Saying("work", 20, _size),)
