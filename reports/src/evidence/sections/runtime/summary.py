"""What the first screen says of run time: speed of both sides relative to PyTorch, and of every route."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import MOJO, REPRESENTATIVE, REPRESENTATIVE_ON_GPU, SIDES, side_of
from evidence.page.headline import RouteFigures
from evidence.sections.runtime.cases import Case, Headline, called, cases, headline
from evidence.sections.runtime.row import RuntimeRow


def by_route(pack: Pack) -> list[RouteFigures]:
    """Speed of every route relative to the representative of its side; for README that of the sides to PyTorch."""
    timed = called(cases(pack))
    speeds = {route: _speed(route, timed) for route in {line.route for line in pack.table(RuntimeRow)}}
    headlines = [headline(side, timed) for side in SIDES]
    sides = {speed.route: _to_pytorch(speed) for speed in headlines if speed.route and speed.everything}
    engine = REPRESENTATIVE_ON_GPU[MOJO]
    if engine in speeds:
        sides[engine] = f"{speeds[engine]} relative to the shared library"
    return [
        RouteFigures(speeds, "Speed to the representative"),
        RouteFigures(sides, readme=text.upper_first(_quantity(_is_compiled(timed)))),
    ]


def _is_compiled(timed: list[Case]) -> bool:
    return any("compile" in case.cells and case.cells["compile"].ok for case in timed)


def _quantity(is_compiled: bool) -> str:
    base = "the faster of eager and torch.compile" if is_compiled else "eager; torch.compile was not timed"
    return f"speed relative to PyTorch ({base}), as called, geometric mean"


def _to_pytorch(speed: Headline) -> str:
    return "no mean" if speed.to_pytorch is None else text.factor(speed.to_pytorch.mean)


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
