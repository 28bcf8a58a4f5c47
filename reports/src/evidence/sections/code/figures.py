"""The figure of code size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evidence.core.pack import Pack
from evidence.page.figure import Figure, Row, View
from evidence.page.plots import stacks
from evidence.sections.code.table import BUCKETS, code, code_ops, code_routes

SHARED = "shared"


def figures(pack: Pack) -> list[Figure]:
    """Tokens in stacked buckets, per route: the whole, and each op's own."""
    routes = code_routes(pack)
    sums = {
        "All ops and what they share": {
            route: {**_own(pack, route), SHARED: code(pack, route, shared=True).tokens} for route in routes
        }
    }
    for op in code_ops(pack):
        sums[f"{op}, its own code"] = {route: _own(pack, route, op) for route in routes}
    spec = stacks("tokens", "elements")
    rows = tuple(row for view, by_route in sums.items() for row in _bars(view, by_route.items()))
    note = "Tokens without comments, for all devices; shared code stands at the end of a bar."
    return [Figure("code", "Code size in tokens", note, tuple(View(name, name, spec) for name in sums), rows)]


def _own(pack: Pack, route: str, op: str | None = None) -> dict[str, int]:
    return {bucket: code(pack, route, op=op, bucket=bucket, shared=False).tokens for bucket in BUCKETS}


def _bars(view: str, bars: Iterable[tuple[str, Mapping[str, int]]]) -> list[Row]:
    rows = []
    for line, (route, counts) in enumerate(bars):
        start = 0
        for part, tokens in counts.items():
            if tokens:
                rows.append({"panel": view, "view": view, "line": line, "route": route, "part": part, "start": start,
                             "end": start + tokens, "inside": f"{tokens:,}", "whole": f"{sum(counts.values()):,}",
                             "text": f"{part} {tokens:,}", "tip": f"{route}\n{part}: {tokens:,}"})  # fmt: skip
                start += tokens
    return rows
