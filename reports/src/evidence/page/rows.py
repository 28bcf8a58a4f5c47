"""The row plot: one line a route, its name on the left, a mark with its interval, the figure on the right.

Names stand beside their marks, so no legend is needed and the plot reads on a phone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.text import tick as brief
from evidence.page.style import FONT, Ink

ROW = 0.185
HEAD = 0.26
LEFT = 1.15
RIGHT = 1.0
MOST_LEFT = 2.4
LABEL_GAP = 0.2


@dataclass(frozen=True)
class Mark:
    """One line: `value` is drawn, `text` written; without a value, `text` says why."""

    label: str
    value: Interval | None
    text: str
    colour: str
    marker: str
    hollow: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Group:
    """Marks under one heading."""

    title: str
    marks: tuple[Mark, ...]


@functools.lru_cache(maxsize=1 << 16)
def text_width(text: str, size: float = FONT, weight: str = "normal") -> float:
    """Inches that a text takes in a picture."""
    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight=weight)
    return float(TextPath((0, 0), text, size, prop=font).get_extents().width) / 72


def shortened(words: str, inches: float, size: float = FONT, weight: str = "normal") -> str:
    """Words that fit into so many inches, with an ellipsis where letters had to go."""
    if text_width(words, size, weight) <= inches:
        return words
    lengths = range(len(words) - 1, 0, -1)
    return next((cut for n in lengths if text_width(cut := words[:n] + "…", size, weight) <= inches), "…")


def left_for(labels: Iterable[str], least: float = LEFT, most: float = MOST_LEFT) -> float:
    """Inches at the left of a plot that hold its labels, within limits that leave room for the plot."""
    return min(most, max([least, *(text_width(label) + LABEL_GAP for label in labels)]))


def height(groups: Sequence[Group]) -> float:
    """Inches that the groups need."""
    return sum((HEAD if group.title else 0.1) + ROW * len(group.marks) for group in groups) + 0.1


def draw_rows(
    axes: Axes,
    ink: Ink,
    groups: Sequence[Group],
    axis_label: str,
    tick: Callable[[float], str],
    one: str | None = None,
    stems: bool = False,
    left: float = LEFT,
) -> None:
    """Draw the groups on a logarithmic axis.

    one: words for a line at 1.0, or no line. stems: a thin line from the left edge to each mark.
    """
    values = [mark.value for group in groups for mark in group.marks if mark.value and mark.value.low > 0]
    low, high = limits([edge for value in values for edge in (value.low, value.high)] + ([1.0] if one else []))
    full = height(groups)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(full, 0)
    axes.yaxis.set_major_locator(NullLocator())
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    log_ticks(axes, low, high, tick)
    axes.grid(axis="x", color=ink.grid, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(axis_label, color=ink.muted, labelpad=3)
    if one:
        axes.axvline(1.0, color=ink.text, linewidth=0.9)
        axes.text(1.0, 0.0, one, color=ink.muted, ha="center", va="bottom", size="small")
    across = axes.get_yaxis_transform()
    inches = axes.get_position().width * float(axes.figure.get_size_inches()[0])  # type: ignore[union-attr]
    edge = -(left - 0.08) / inches
    y = 0.05
    for number, group in enumerate(groups):
        if number:
            axes.plot([edge, 1.0], [y + 0.02, y + 0.02], transform=across, color=ink.grid, linewidth=0.5, clip_on=False)
        if group.title:
            title = shortened(group.title, inches + left - LABEL_GAP, weight="bold")
            axes.text(edge, y + HEAD * 0.58, title, transform=across, color=ink.text, va="center", weight="bold")
        y += HEAD if group.title else 0.1
        for mark in group.marks:
            middle = y + ROW / 2
            label = shortened(mark.label, left - LABEL_GAP / 2)
            axes.text(-0.08 / inches, middle, label, transform=across, ha="right", va="center", color=ink.text)
            if mark.value is None or mark.value.low <= 0:
                axes.text(0.02, middle, mark.text, transform=across, va="center", color=ink.muted, style="italic")
            else:
                _mark(axes, mark, middle, low, stems)
                axes.text(1.0 + 0.08 / inches, middle, mark.text, transform=across, va="center", color=ink.text)
            y += ROW


def _mark(axes: Axes, mark: Mark, y: float, low: float, stems: bool) -> None:
    assert mark.value is not None
    alpha = 0.45 if mark.faint else 1.0
    if stems:
        axes.plot([low, mark.value.mid], [y, y], color=mark.colour, linewidth=1.1, alpha=0.45 * alpha)
    axes.plot(
        [mark.value.low, mark.value.high], [y, y], color=mark.colour, linewidth=2.2, alpha=alpha, solid_capstyle="butt"
    )
    face = "none" if mark.hollow else mark.colour
    axes.plot(
        [mark.value.mid],
        [y],
        marker=mark.marker,
        markersize=5.4,
        markerfacecolor=face,
        markeredgecolor=mark.colour,
        markeredgewidth=1.2,
        alpha=alpha,
        linestyle="none",
        clip_on=False,
    )


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Axis limits with a margin on a logarithmic scale, at least a factor of 1.5 apart."""
    if not values:
        return 0.5, 2.0
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.09, 0.05 * (high - low))
    if high - low < 0.18:
        middle = (low + high) / 2
        low, high = middle - 0.09, middle + 0.09
    return 10 ** (low - room), 10 ** (high + room)


def spaced(spots: dict[str, float], gap: float) -> dict[str, float]:
    """Label positions (axes fraction) moved apart to at least `gap`, in their order, within 0 to 1 if they fit."""
    order = sorted(spots, key=lambda name: spots[name])
    placed: dict[str, float] = {}
    floor = -gap
    for name in order:
        floor = max(spots[name], floor + gap)
        placed[name] = floor
    ceiling = max(1.0, gap * (len(order) - 1))
    for name in reversed(order):
        placed[name] = min(placed[name], ceiling)
        ceiling = placed[name] - gap
    return placed


def size_axes(
    axes: Axes, ink: Ink, lines: Iterable[Sequence[tuple[float, float]]], elements: Callable[[float], str]
) -> None:
    """Both axes logarithmic for lines of (elements, microseconds), with grid and ticks in words."""
    points = [point for line in lines for point in line]
    axes.set_xscale("log")
    axes.set_yscale("log")
    x_limits, y_limits = limits([x for x, _ in points]), limits([y for _, y in points])
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    log_ticks(axes, *x_limits, elements)
    log_ticks(axes, *y_limits, text.micros, "y")
    axes.grid(color=ink.grid, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("elements", color=ink.muted, labelpad=3)


def log_ticks(axes: Axes, low: float, high: float, tick: Callable[[float], str], which: str = "x") -> None:
    """At most about five ticks with words: decades on a long axis, 1-2-5 on a short one."""
    decades = math.log10(high / low)
    steps: tuple[float, ...] = (1, 2, 5) if decades < 2.2 else (1,)
    if decades < 0.7:
        steps = (1, 1.5, 2, 3, 4, 5, 7)
    if decades < 0.28:
        steps = tuple(1 + i / 10 for i in range(90))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    spots = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    spots = [spot for spot in spots if low <= spot <= high]
    while len(spots) > 5:
        spots = spots[::2]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(spots))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: brief(tick(value))))
