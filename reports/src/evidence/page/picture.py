"""Pictures: panels narrow enough for a phone, drawn into the page and, for Markdown, into SVG files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.page.rows import shortened
from evidence.page.style import FONT, PAPER, THEMED, THEMED_AS, Ink

WIDTH = 4.4
TOP = 0.36
BOTTOM = 0.5
_RC: Any = {
    "font.size": FONT,
    "font.family": "DejaVu Sans",
    "svg.fonttype": "none",
    # An op may be called `$x$`; it is not mathematics.
    "text.parse_math": False,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "evidence",
}


@dataclass(frozen=True)
class Panel:
    """One drawing, `WIDTH` inches wide with a plot `height` inches high; `left` and `right` leave room for words."""

    title: str
    alt: str
    height: float
    left: float
    right: float
    draw: Callable[[Axes, Ink], None]

    @property
    def full_height(self) -> float:
        """Inches with title and axis."""
        return self.height + TOP + BOTTOM


@dataclass(frozen=True)
class Picture:
    """A set of panels that belong together; `name` is its file name."""

    name: str
    title: str
    note: str
    panels: tuple[Panel, ...]


def to_svg(panel: Panel, prefix: str) -> str:
    """The panel as an inline SVG whose ink follows the page's colours; `prefix` keeps ids apart on one page."""
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, panel.full_height))
        _place(figure, panel, 0.0, 0.0, THEMED)
        text = _save(figure, transparent=True).decode()
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"(\bid=\"|xlink:href=\"#|url\(#)", rf"\g<1>{prefix}-", body)
    for sentinel, themed in THEMED_AS.items():
        body = body.replace(sentinel, themed)
    body = re.sub(r"(font: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--font)", body)
    head = re.search(r"viewBox=\"[^\"]*\"", body)
    box = head.group(0) if head else ""
    label = escape(panel.alt, quote=True)
    return re.sub(r"<svg\b[^>]*>", lambda _: f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" '
                  f'aria-label="{label}">', body, count=1)  # fmt: skip


def write_svg(picture: Picture, folder: Path) -> Path:
    """Draw all panels of a picture on white, in two columns, into `folder/name.svg`."""
    columns = 1 if len(picture.panels) == 1 else 2
    heights = [0.0] * columns
    spots: list[tuple[Panel, float, float]] = []
    for panel in picture.panels:
        column = heights.index(min(heights))
        spots.append((panel, column * WIDTH, heights[column]))
        heights[column] += panel.full_height + 0.15
    # A file may be shown where the font is missing, so its text is drawn as shapes.
    with matplotlib.rc_context({**_RC, "svg.fonttype": "path"}):
        figure = Figure(figsize=(columns * WIDTH, max(heights)), facecolor="white")
        for panel, x, y in spots:
            _place(figure, panel, x, y, PAPER)
        content = _save(figure, transparent=False)
    file = folder / f"{picture.name}.svg"
    file.write_bytes(content)
    return file


def _place(figure: Figure, panel: Panel, x: float, y: float, ink: Ink) -> None:
    width, height = (float(size) for size in figure.get_size_inches())
    bottom = height - y - TOP - panel.height
    axes = figure.add_axes((
        (x + panel.left) / width,
        bottom / height,
        (WIDTH - panel.left - panel.right) / width,
        panel.height / height,
    ))  # fmt: skip
    axes.patch.set_alpha(0.0)
    axes.tick_params(colors=ink.muted, labelcolor=ink.muted, width=0.6, length=3)
    for spine in axes.spines.values():
        spine.set_color(ink.grid)
    size = FONT + 1.4
    title = shortened(panel.title, WIDTH - 0.2, size, "bold")
    figure.text((x + 0.08) / width, (height - y - 0.2) / height, title, color=ink.text, weight="bold", size=size)
    panel.draw(axes, ink)


def _save(figure: Figure, transparent: bool) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A name from a pack may hold a character that the font lacks; the page still has it as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", transparent=transparent, metadata={"Date": None})
    return stream.getvalue()
