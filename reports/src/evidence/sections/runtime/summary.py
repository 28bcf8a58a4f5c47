"""Speed of every route for the table of routes."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import REPRESENTATIVE, side_of
from evidence.page.headline import RouteFigures
from evidence.sections.runtime.cases import Case, called, cases
from evidence.sections.runtime.row import RuntimeRow


def by_route(pack: Pack) -> list[RouteFigures]:
    """Speed of every route relative to the representative of its side."""
    timed = called(cases(pack))
    speeds = {route: _speed(route, timed) for route in {line.route for line in pack.table(RuntimeRow)}}
    return [RouteFigures(speeds, "Speed to the representative")]


def _speed(route: str, timed: list[Case]) -> str:
    """Relative to the representative of the route's side, over the quiet rows that timed both."""
    side = side_of(route)
    if side is None or route == REPRESENTATIVE[side]:
        return "–"
    ratios = []
    for case in timed:
        own = case.representative(side)
        ratio = case.speedup(route, own) if own and not case.noisy(route, own) else None
        if ratio is not None:
            ratios.append(ratio.mid)
    mean = spread(ratios)
    return "–" if mean is None else f"{text.factor(mean.mean)} ({text.count(mean.count, 'row')})"
