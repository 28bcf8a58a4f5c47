"""A figure: one Vega-Lite specification and its rows, shown on the page by Vega and written to SVG without a browser.

The page filters the rows and draws the specification with those that are left. Rows of the same `panel` make one
drawing. What a row holds besides depends on the form (`plots.py`); every form knows:

| key | meaning |
|---|---|
| `panel` | title of the drawing that it belongs to |
| `route`, `label`, `text` | the words of the mark, which the text for readers without pictures repeats |
| `tip` | lines shown under the pointer |
| `op`, `dtype`, `size`, `device`, `route`, `mode` | what the page's filters read |
| `needs` | filters without a choice in which the row is left out |
| `view`, `by` | the view that shows it, or what it holds in each view |
| `row` | anchor of the row of run time behind it |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import vl_convert

from evidence.core import text
from evidence.core.interval import Interval
from evidence.page.plots import WIDTH, Spec
from evidence.page.style import CONFIG, TEXT

Row = dict[str, Any]
GUTTER = 14
TITLE = 24


@dataclass(frozen=True)
class View:
    """One choice of the reader: what it is called, how it is drawn, and whether it is drawn for print too."""

    key: str
    name: str
    spec: Spec
    group: str = ""
    still: bool = True


@dataclass(frozen=True)
class Figure:
    """Drawings that belong together.

    Attributes:
        name: of its files, and of its place on the page.
        title: what it shows.
        note: what its marks mean.
        views: what the reader chooses from; the first one is shown.
        rows: data of all views.
        choice: label of that choice.
        markdown: whether `report.md` shows it, from a file beside it.
        readme: whether the README does.
    """

    name: str
    title: str
    note: str
    views: tuple[View, ...]
    rows: tuple[Row, ...]
    choice: str = "Show"
    markdown: bool = False
    readme: bool = False


@dataclass(frozen=True)
class Panel:
    """One drawing: title, text for readers without pictures, and SVG."""

    title: str
    alt: str
    svg: str


def single(name: str, title: str, note: str, spec: Spec, rows: Sequence[Row], **facts: Any) -> Figure:
    """A figure with one view."""
    return Figure(name, title, note, (View("", title, spec),), tuple(rows), **facts)


def mark(panel: str, line: int, route: str, value: Interval | None, caption: str, **facts: Any) -> Row:
    """The row of a mark with its interval; a mark without a value shows its caption instead.

    Facts that are empty are left out.
    """
    row = {"panel": panel, "line": line, "route": route, "text": caption, **measured(value), **facts}
    return {key: fact for key, fact in row.items() if fact is not None and fact is not False and fact != ""}


def measured(value: Interval | None) -> Row:
    """Middle and ends of a value that can stand on a logarithmic axis."""
    if value is None or value.low <= 0:
        return {}
    return {"mid": rounded(value.mid), "low": rounded(value.low), "high": rounded(value.high)}


def rounded(value: float) -> float:
    """Four digits, which no reader of a figure sees the end of."""
    return float(f"{value:.4g}")


def line_rows(view: str, op: str, route: str, points: Sequence[tuple[int, float]]) -> list[Row]:
    """The points of one line of time against size: (elements, microseconds)."""
    time_range = f"{text.micros(points[0][1])} to {text.micros(points[-1][1])}"
    return [
        {"panel": view, "view": view, "op": op, "route": route, "x": size, "y": rounded(time),
         "tip": f"{route}, {text.elements(size)} elements: {text.micros(time)}",
         **({} if place else {"text": time_range})}
        for place, (size, time) in enumerate(points)
    ]  # fmt: skip


def view_rows(figure: Figure, view: View) -> list[Row]:
    """The rows that a view shows where no filter has a choice."""
    return [
        {**row, **row.get("by", {}).get(view.key, {})}
        for row in figure.rows
        if not row.get("needs") and row.get("view", view.key) == view.key and view.key in row.get("by", {view.key: {}})
    ]


def panels(figure: Figure) -> Iterator[Panel]:
    """The drawings of a figure for print and for Markdown."""
    for view in figure.views:
        titles: dict[str, list[Row]] = {}
        for row in view_rows(figure, view) if view.still else ():
            titles.setdefault(row["panel"], []).append(row)
        for title, rows in titles.items():
            alt = f"{', '.join(dict.fromkeys((figure.title, view.name, title)))}. {in_words(rows)}."
            yield Panel(title, alt, to_svg(view.spec, rows, alt))


def in_words(rows: Iterable[Row]) -> str:
    """Every mark with its figure, group by group; the page says the same of the rows that its filters leave."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if "text" in row:
            groups.setdefault(row.get("group", ""), []).append(f"{row.get('label') or row['route']} {row['text']}")
    return "; ".join((f"{group}: " if group else "") + ", ".join(texts) for group, texts in groups.items())


def to_svg(spec: Spec, rows: Sequence[Row], alt: str) -> str:
    """The specification drawn with these rows, with a text for readers without pictures."""
    svg = vl_convert.vegalite_to_svg({**spec, "datasets": {"rows": list(rows)}}, config=CONFIG)
    label = escape(alt, quote=True)
    return re.sub(r"<svg\b([^>]*)>", lambda head: f'<svg{head[1]} role="img" aria-label="{label}">', svg, count=1)


def write_svg(figure: Figure, drawn: Sequence[Panel], folder: Path) -> Path:
    """All drawings of a figure on white, in two columns, in `folder/name.svg`."""
    heights = [0.0] * (1 if len(drawn) == 1 else 2)
    body = []
    for panel in drawn:
        column = heights.index(min(heights))
        x, y = column * (WIDTH + GUTTER), heights[column]
        size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', panel.svg)
        assert size is not None
        title = escape(panel.title if len(panel.title) <= 56 else panel.title[:55] + "…")
        body += [
            f'<text x="{x + 8}" y="{y + 16:g}" font-family="{CONFIG["font"]}" font-size="13" font-weight="bold" '
            f'fill="{TEXT}">{title}</text>',
            panel.svg.replace("<svg", f'<svg x="{x}" y="{y + TITLE:g}"', 1),
        ]
        heights[column] += TITLE + float(size[2]) + GUTTER
    width, height = len(heights) * (WIDTH + GUTTER) - GUTTER, max(heights)
    file = folder / f"{figure.name}.svg"
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" '
        f'viewBox="0 0 {width} {height:g}"><rect width="100%" height="100%" fill="#ffffff"/>{"".join(body)}</svg>\n',
        encoding="utf-8",
    )
    return file
