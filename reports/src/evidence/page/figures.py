"""The figures of a page: those that the sections declare, what the page's filters offer, and what draws them there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.core.section import declarations
from evidence.page.common import Context
from evidence.page.figure import Figure
from evidence.page.losses import losses_figure
from evidence.page.plots import Spec, boxes
from evidence.page.style import CONFIG

DIMENSIONS = {
    "op": "Op",
    "dtype": "Dtype",
    "size": "Size class",
    "device": "Device",
    "route": "Route",
    "mode": "Mode",
}


def figures(pack: Pack) -> dict[str, Figure]:
    """Name -> figure: those that the pack has rows for, in the order of the page."""
    declared = [figure for _, of_section in declarations("figures", "figures") for figure in of_section(pack)]
    return {figure.name: figure for figure in (*declared, losses_figure(pack)) if figure.rows}


def filters(figures: Iterable[Figure]) -> list[Context]:
    """For each dimension its values: routes in their order, others as sections declare or rows have them."""
    rows = [row for figure in figures for row in figure.rows]
    used = {key: dict.fromkeys(row[key] for row in rows if key in row) for key in DIMENSIONS}
    dimensions = []
    for key, name in DIMENSIONS.items():
        names = {value: value for value in sorted(used[key], key=order)} if key == "route" else {}
        for _, declared in declarations("figures", "FILTERS"):
            names |= declared.get(key, {})
        names = {value: names.get(value, value) for value in {**names, **used[key]} if value in used[key]}
        if names:
            values = [{"value": value, "name": shown} for value, shown in names.items()]
            dimensions.append({"key": key, "name": name, "values": values})
    return dimensions


def mode_groups() -> list[list[str]]:
    """The modes of each section: a choice among those of one says nothing about the rows of another."""
    return [list(declared["mode"]) for _, declared in declarations("figures", "FILTERS") if "mode" in declared]


def page_data(all_figures: Iterable[Figure]) -> dict[str, Any]:
    """What the page needs to draw the figures by itself; a specification that many views share stands once."""
    specs: list[Spec] = []
    entries = {}
    for figure in all_figures:
        views = []
        for view in figure.views:
            if view.spec not in specs[-1:]:
                specs.append(view.spec)
            views.append({"key": view.key, "name": view.name, "group": view.group, "spec": len(specs) - 1})
        entries[figure.name] = {"title": figure.title, "choice": figure.choice, "views": views, "rows": figure.rows}
    return {"config": CONFIG, "specs": specs, "figures": entries, "rounds": boxes(), "modes": mode_groups()}
