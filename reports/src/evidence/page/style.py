"""One look for every picture: a colour and a marker for each route, and ink that follows the page."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.core import routes
from evidence.core.routes import CPP, MOJO, order
from shared_tests.route_facts import UNKNOWN_COLOUR
from shared_tests.route_table import facts

COLOURS = {route: routes.colour(route) for route in facts()}
DARK_COLOURS = {route: routes.colour(route, dark=True) for route in facts()}
SYMBOLS = {route: routes.symbol(route) for route in facts()}
_MARKERS = {
    "circle": "o",
    "cross": "P",
    "square": "s",
    "diamond": "D",
    "pentagon": "p",
    "hexagon": "h",
    "triangle-up": "^",
    "triangle-down": "v",
}
"""Symbols under Matplotlib's names."""

PART_COLOURS = {
    "dispatcher": "#56b4e9",
    "dispatcher and custom_op": "#56b4e9",
    "Python": "#f0e442",
    "output allocation": "#009e73",
    "output and argument checks": "#009e73",
    "argument checks": "#0072b2",
    "DLPack and Buffer": "#cc79a7",
    "engine hand-off": "#d55e00",
    "engine, buffers just made": "#e69f00",
    "kernel": "#8a6d3b",
    "MLIR context": "#999933",
    "model looked up by shape": "#f0e442",
    "the op itself": "#d55e00",
    "guards and wrapper": "#56b4e9",
    "Python under Dynamo": "#f0e442",
    "slower engine hand-off": "#e69f00",
    "not explained": "#a9a9a9",
}
UNKNOWN = UNKNOWN_COLOUR
SIDE_COLOURS = {CPP: COLOURS["cpp"], MOJO: COLOURS["mojo"]}


def colour(route: str) -> str:
    """A route's colour, the same in every picture."""
    return routes.colour(route)


def marker(route: str) -> str:
    """A route's marker, so that colour never carries the meaning alone."""
    return _MARKERS.get(routes.symbol(route), "X")


def tint(hex_colour: str, white: float) -> str:
    """The colour mixed with `white` (0 to 1) of white."""
    parts = [int(hex_colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * white):02x}" for part in parts)


def known(routes: list[str]) -> list[str]:
    """Routes in report order."""
    return sorted(routes, key=order)


FONT = 8.8
"""Points of the text in pictures."""


@dataclass(frozen=True)
class Ink:
    """Colours of text and lines in a picture."""

    text: str
    muted: str
    grid: str


PAPER = Ink("#1c2127", "#59636e", "#d8dde3")
"""For PNG files, which have a white ground."""

# For SVG: no picture uses these colours otherwise, and the page replaces them by its own, light or dark.
THEMED = Ink("#010203", "#040506", "#070809")
THEMED_AS = {"#010203": "currentColor", "#040506": "var(--muted)", "#070809": "var(--grid)"}
