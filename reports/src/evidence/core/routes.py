"""What reports need to know of routes, from the record that the tests share (`shared_tests.route_table`).

A pack of another version may hold routes that have no record here: they are shown last, by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared_tests.route_facts import CPP, MOJO, UNKNOWN_COLOUR, UNKNOWN_SYMBOL
from shared_tests.route_table import facts

SIDES = (CPP, MOJO)
SIDE_NAMES = {CPP: "C++", MOJO: "Mojo"}


def _of_sides(device: str) -> dict[str, str]:
    return {route.side: route.name for route in facts().values() if device in route.represents}


REPRESENTATIVE = _of_sides("cpu")
"""The one route that represents its side on the CPU, in every comparison of a question."""

REPRESENTATIVE_ON_GPU = _of_sides("cuda")
"""The same on a GPU, for which the library without MAX is not built."""

DOCUMENTED = {route.side: route.name for route in facts().values() if route.documented}
"""The route that the talk and the documentation show."""


def representative(side: str, device: str = "cpu") -> str:
    """The route that represents a side on a device; every other route of the side decides nothing."""
    return (REPRESENTATIVE if device == "cpu" else REPRESENTATIVE_ON_GPU)[side]


def representatives() -> list[str]:
    """Every route that represents its side on some device, side by side, those of the CPU first."""
    names = [of_sides[side] for side in SIDES for of_sides in (REPRESENTATIVE, REPRESENTATIVE_ON_GPU)]
    return list(dict.fromkeys(names))


def measured_representative(side: str, measured: Iterable[str], device: str = "cpu") -> str | None:
    """The side's representative if it is among the measured routes, else None: no other route takes its place."""
    route = representative(side, device)
    return route if route in set(measured) else None


def side_of(route: str) -> str | None:
    """`cpp`, `mojo`, or None for PyTorch's own routes. The name decides for a route without a record."""
    if route in facts():
        side = facts()[route].side
        return side if side in SIDES else None
    return next((side for side in SIDES if route.startswith(side)), None)


def order(route: str) -> tuple[int, str]:
    """Sort key: the order of the reports, unknown routes last by name."""
    names = list(facts())
    return (names.index(route) if route in names else len(names), route)


def what(route: str) -> str:
    """What a route is, in one sentence; empty for an unknown one."""
    return facts()[route].what if route in facts() else ""


def colour(route: str, dark: bool = False) -> str:
    """A route's colour on a light or a dark ground, the same in every figure."""
    if route not in facts():
        return UNKNOWN_COLOUR
    record = facts()[route]
    return record.dark_colour or record.colour if dark else record.colour


def symbol(route: str) -> str:
    """The symbol of a route's points, so that colour never carries the meaning alone."""
    return facts()[route].symbol if route in facts() else UNKNOWN_SYMBOL
