"""Figures of every route that the sections contribute to the table of routes and to README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evidence.core.pack import Pack
from evidence.core.routes import REPRESENTATIVE, REPRESENTATIVE_ON_GPU, SIDE_NAMES, SIDES, order, side_of
from evidence.core.section import declarations
from evidence.page.table import Column, Table, columns, row


@dataclass(frozen=True)
class RouteFigures:
    """A figure of every route: `by_route(pack)` of a section gives several.

    Attributes:
        values: route -> figure, for every route that the section has rows of.
        title: its column in the table of routes; empty for none.
        number: whether it is a figure, aligned to the right.
    """

    values: Mapping[str, str]
    title: str = ""
    number: bool = False


def route_figures(pack: Pack) -> list[RouteFigures]:
    """The figures by route of all sections, in the order of the page."""
    return [figures for _, by_route in declarations("page", "by_route") for figures in by_route(pack)]


def routes(figures: Iterable[RouteFigures]) -> list[str]:
    """Every route that has a figure, in report order."""
    return sorted({route for of_routes in figures for route in of_routes.values}, key=order)


def route_table(pack: Pack) -> Table:
    """One line a route of either side, from the rows of the CPU."""
    figures = route_figures(pack)
    shown = [of_routes for of_routes in figures if of_routes.title]
    rows = (
        row(route, _represents(route), *(of_routes.values.get(route, "–") for of_routes in shown))
        for route in routes(figures)
        if side_of(route) in SIDES
    )
    heads = columns("Route", "Represents", *(Column(of_routes.title, of_routes.number) for of_routes in shown))
    return Table("Every route by itself", heads, tuple(rows))


def _represents(route: str) -> str:
    """`Mojo on the CPU`, `C++`, or a dash."""
    sides = [side for side in SIDES if route in (REPRESENTATIVE[side], REPRESENTATIVE_ON_GPU[side])]
    if not sides:
        return "–"
    side = sides[0]
    if REPRESENTATIVE[side] == REPRESENTATIVE_ON_GPU[side]:
        return SIDE_NAMES[side]
    return f"{SIDE_NAMES[side]} on {'the CPU' if REPRESENTATIVE[side] == route else 'a GPU'}"
