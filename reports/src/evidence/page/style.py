"""One look for every figure: a colour and a shape for each route, and ink that follows the page's light or dark ground.

Figures are drawn in the colours of a light ground. On the page, rules made here replace each colour by that of the
page's ground, so that a drawing serves both and a change of the ground draws nothing again.
"""

from __future__ import annotations

from typing import Any

from evidence.core.routes import CPP, MOJO, ORDER

# Okabe and Ito's palette keeps apart for every common form of colour blindness: blues for C++, warm for Mojo.
COLOURS = {
    "eager": "#7f7f7f",
    "compile": "#b0699a",
    "cpp": "#0072b2",
    "cpp_pybind": "#56b4e9",
    "cpp_classic": "#3a4f9f",
    "mojo": "#d55e00",
    "mojo_aot": "#a33b20",
    "mojo_stock": "#e69f00",
    "max_graph": "#009e73",
}
DARK_COLOURS = {
    "eager": "#a6a6a6",
    "compile": "#cf97bd",
    "cpp": "#4ba3dd",
    "cpp_classic": "#8d9be8",
    "mojo": "#f08a3c",
    "mojo_aot": "#e0705a",
    "max_graph": "#2fc39a",
}
"""The same hues, light enough for a dark ground."""

PENTAGON = "M0,-1L0.95,-0.31L0.59,0.81L-0.59,0.81L-0.95,-0.31Z"
HEXAGON = "M-0.5,-0.87L0.5,-0.87L1,0L0.5,0.87L-0.5,0.87L-1,0Z"
SHAPES = {
    "eager": "circle",
    "compile": "cross",
    "cpp": "square",
    "cpp_pybind": "diamond",
    "cpp_classic": PENTAGON,
    "mojo": "circle",
    "mojo_aot": HEXAGON,
    "mojo_stock": "triangle-up",
    "max_graph": "triangle-down",
}
"""Vega's names of shapes, or their outlines, so that colour never carries the meaning alone."""

UNKNOWN, UNKNOWN_SHAPE = "#8c8c3f", "triangle-left"
SIDE_COLOURS = {CPP: COLOURS["cpp"], MOJO: COLOURS["mojo"]}

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


def colour(route: str) -> str:
    """A route's colour, the same in every figure."""
    return COLOURS.get(route, UNKNOWN)


def by_route(channel: str) -> dict[str, Any]:
    """The encoding of `color` (or `fill`) or `shape` by the field `route`."""
    values = {**SHAPES, "": UNKNOWN_SHAPE} if channel == "shape" else {**COLOURS, "": UNKNOWN}
    # A route that is not in the domain takes the next entry of the range, which is that of the unknown ones.
    return {
        "field": "route",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(ORDER), "range": [values[route] for route in (*ORDER, "")]},
    }


def css() -> str:
    """Rules that give drawings the colours of the page's ground."""
    themed = {ink: f"var({name})" for ink, name in INK.items()}
    themed |= {COLOURS[route]: f"light-dark({COLOURS[route]}, {dark})" for route, dark in DARK_COLOURS.items()}
    return "".join(
        f'figure svg [{part}="{ink}"], dialog svg [{part}="{ink}"] {{ {part}: {shown}; }}\n'
        for ink, shown in themed.items()
        for part in ("fill", "stroke")
    )
