"""A panel of a picture drawn alone, with the boxes of its words: what is cut off can be found."""

from __future__ import annotations

import matplotlib
from evidence.page.picture import _RC, WIDTH, Panel, _place
from evidence.page.style import PAPER
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def draw_alone(panel: Panel) -> tuple[Figure, list[tuple[str, Bbox]]]:
    """The panel as a figure of its own, and its words with the boxes in pixels that they take."""
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, panel.full_height))
        canvas = FigureCanvasAgg(figure)
        _place(figure, panel, 0.0, 0.0, PAPER)
        canvas.draw()
        shown = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
        hidden = {label for axes in figure.axes for label in _undrawn(axes)}
        renderer = canvas.get_renderer()
        words = [(one.get_text(), one.get_window_extent(renderer)) for one in shown if one not in hidden]
    return figure, words


def _undrawn(axes: Axes) -> list[Text]:
    """Labels of ticks outside the limits of an axis, which matplotlib keeps and does not draw."""
    found = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = sorted(limits)
        found += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return found
