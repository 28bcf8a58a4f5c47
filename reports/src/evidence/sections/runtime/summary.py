"""What the first screen says of run time: speed of both sides relative to PyTorch, and of every route."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import REPRESENTATIVE, SIDES, side_of
from evidence.page.common import spread_range
from evidence.page.headline import Card, RouteFigures, SideFigure
from evidence.sections.runtime.cases import Case, Headline, called, cases, headline
from evidence.sections.runtime.row import RuntimeRow

NOT_MEASURED = ("not measured",)


def card(pack: Pack) -> Card:
    """Speed of both sides relative to PyTorch."""
    timed = called(cases(pack))
    is_compiled = _is_compiled(timed)
    figures = tuple(_side_figure(headline(side, timed), is_compiled) for side in SIDES)
    return Card("runtime", "Run time", _quantity(is_compiled), figures)


def by_route(pack: Pack) -> list[RouteFigures]:
    """Speed of every route relative to the representative of its side."""
    timed = called(cases(pack))
    speeds = {route: _speed(route, timed) for route in {line.route for line in pack.table(RuntimeRow)}}
    return [RouteFigures(speeds, "Speed to the representative")]


def _is_compiled(timed: list[Case]) -> bool:
    return any("compile" in case.cells and case.cells["compile"].ok for case in timed)


def _quantity(is_compiled: bool) -> str:
    base = "the faster of eager and torch.compile" if is_compiled else "eager; torch.compile was not timed"
    return f"speed relative to PyTorch ({base}), as called, geometric mean"


def _side_figure(speed: Headline, is_compiled: bool) -> SideFigure:
    if speed.everything is None or speed.route is None:
        return SideFigure(speed.side, None, None, NOT_MEASURED)
    if speed.to_pytorch is None or speed.to_eager is None:
        noisy = f"{speed.noisy} of {text.count(speed.rows, 'row')} noisy"
        note = f"{spread_range(speed.everything)} relative to eager; {noisy}"
        return SideFigure(speed.side, speed.route, "no mean", (note,))
    notes = [f"{spread_range(speed.to_pytorch)}, {text.count(speed.to_pytorch.count, 'row')}"]
    if is_compiled:
        notes.append(f"relative to eager alone {text.factor(speed.to_eager.mean)}, on the same rows")
    if speed.noisy:
        notes.append(f"{text.count(speed.noisy, 'noisy row')} not in the mean")
    if (documented := speed.documented_to_route) is not None:
        rows = f"the {text.count(documented.count, 'row')} that timed the documented routes"
        share = f"{text.factor(documented.mean)} of {speed.route}'s speed, on {rows}"
        notes.append(f"as documented ({speed.documented}) {share}")
    return SideFigure(speed.side, speed.route, text.factor(speed.to_pytorch.mean), tuple(notes))


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
