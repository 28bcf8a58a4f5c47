"""One look for every figure: a colour and a shape for each route, and ink that follows the page's light or dark ground.

Figures are drawn in the colours of a light ground. On the page, rules made here replace each colour by that of the
page's ground, so that a drawing serves both and a change of the ground draws nothing again.
"""

from __future__ import annotations

from typing import Any

from evidence.core import routes
from shared_tests.route_facts import UNKNOWN_COLOUR, UNKNOWN_SYMBOL
from shared_tests.route_table import facts

OUTLINES = {
    "pentagon": "M0,-1L0.95,-0.31L0.59,0.81L-0.59,0.81L-0.95,-0.31Z",
    "hexagon": "M-0.5,-0.87L0.5,-0.87L1,0L0.5,0.87L-0.5,0.87L-1,0Z",
}
"""Symbols that Vega does not know by name."""

# Light enough for black figures to be read on each of them.
BUCKET_COLOURS = {
    "kernel": "#56b4e9",
    "binding": "#e69f00",
    "build": "#009e73",
    "glue": "#cc79a7",
    "shared": "#9aa3ad",
}

TEXT, MUTED, GRID, BAND, GROUND, ON_BAR = "#1c2127", "#545e69", "#d8dde3", "#e6e8ea", "#ffffff", "#000000"
INK = {TEXT: "--text", MUTED: "--muted", GRID: "--grid", BAND: "--band", GROUND: "--ground"}
"""Ink of figures -> the page's variable that takes its place."""

CONFIG: dict[str, Any] = {
    "aria": False,
    "mark": {"aria": False},
    "background": None,
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": GRID,
        "domainColor": MUTED,
        "ticks": False,
        "labelPadding": 5,
        "labelFontSize": 11,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titlePadding": 7,
    },
    "text": {"color": TEXT, "fontSize": 11.5, "baseline": "middle"},
    "rule": {"color": TEXT},
}
"""Vega's settings, the same for every figure."""


def by_route(channel: str) -> dict[str, Any]:
    """The encoding of `color` (or `fill`) or `shape` by the field `route`."""
    if channel == "shape":
        symbols = [*(routes.symbol(route) for route in facts()), UNKNOWN_SYMBOL]
        values = [OUTLINES.get(symbol, symbol) for symbol in symbols]
    else:
        values = [*(routes.colour(route) for route in facts()), UNKNOWN_COLOUR]
    # A route that is not in the domain takes the next entry of the range, which is that of the unknown ones.
    return {
        "field": "route",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(facts()), "range": values},
    }


def css() -> str:
    """Rules that give drawings the colours of the page's ground."""
    themed = {ink: f"var({name})" for ink, name in INK.items()}
    for route in facts():
        light, dark = routes.colour(route), routes.colour(route, dark=True)
        if light != dark:
            themed[light] = f"light-dark({light}, {dark})"
    return "".join(
        f'figure svg [{part}="{ink}"], dialog svg [{part}="{ink}"] {{ {part}: {shown}; }}\n'
        for ink, shown in themed.items()
        for part in ("fill", "stroke")
    )
