"""Every route of both sides in one line: the representatives, and the others, which decide nothing."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack, Row
from evidence.core.routes import (
    REPRESENTATIVE,
    REPRESENTATIVE_ON_GPU,
    SIDE_NAMES,
    SIDES,
    order,
    side_of,
)
from evidence.page.common import Context
from evidence.sections.build.table import build
from evidence.sections.code.table import code
from evidence.sections.dispatch.table import dispatch, plain
from evidence.sections.runtime.cases import Case, called

SECTIONS = ("correctness", "runtime", "dispatch", "build", "code", "integration")


def route_lines(pack: Pack, all_cases: list[Case]) -> list[Context]:
    """One line a route of either side, in report order, from the rows of the CPU."""
    routes = {row["route"] for section in SECTIONS for row in pack.rows(section)}
    calls = {row.route: row.time.mid for row in plain(dispatch(pack)) if row.mode == "hot" and row.time}
    edits = {route: stage.time.mid for route, stage in build(pack).get("edit", {}).items() if stage.time}
    cases = called(all_cases)
    return [
        {
            "route": route,
            "represents": _represents(route),
            "checks": _share(pack.rows("correctness"), route, "passed", "failed"),
            "call": text.micros(calls.get(route)),
            "speed": _speed(route, cases),
            "edit": text.seconds(edits.get(route)),
            "tokens": f"{code(pack, route).tokens:,}" if any(r["route"] == route for r in pack.rows("code")) else "–",
            "features": _features(pack.rows("integration"), route),
        }
        for route in sorted(routes, key=order)
        if side_of(route) in SIDES
    ]


def _represents(route: str) -> str:
    """`Mojo on the CPU`, `C++`, or a dash."""
    sides = [side for side in SIDES if route in (REPRESENTATIVE[side], REPRESENTATIVE_ON_GPU[side])]
    if not sides:
        return "–"
    side = sides[0]
    if REPRESENTATIVE[side] == REPRESENTATIVE_ON_GPU[side]:
        return SIDE_NAMES[side]
    return f"{SIDE_NAMES[side]} on {'the CPU' if REPRESENTATIVE[side] == route else 'a GPU'}"


def _share(rows: list[Row], route: str, passed: str, failed: str) -> str:
    of_route = [row for row in rows if row["route"] == route and row["device"] == "cpu"]
    good, bad = (sum(row[key] for row in of_route) for key in (passed, failed))
    return f"{good:,} of {good + bad:,}" if good + bad else "–"


def _features(rows: list[Row], route: str) -> str:
    tried = [row["status"] for row in rows if row["route"] == route and row["status"] in ("works", "refused", "fails")]
    return f"{tried.count('works')} of {len(tried)}" if tried else "–"


def _speed(route: str, cases: list[Case]) -> str:
    """Relative to the representative of the route's side, over the quiet rows that timed both."""
    side = side_of(route)
    if side is None or route == REPRESENTATIVE[side]:
        return "–"
    ratios = []
    for case in cases:
        own = case.representative(side)
        ratio = case.speedup(route, own) if own and not case.noisy(route, own) else None
        if ratio is not None:
            ratios.append(ratio.mid)
    mean = spread(ratios)
    if mean is None:
        return "–"
    return f"{text.factor(mean.mean)} ({text.count(mean.count, 'row')})"
