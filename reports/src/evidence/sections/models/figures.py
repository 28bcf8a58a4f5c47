"""Tokens a second by stage and route, decode at batch 1, one panel a model and dtype."""

from __future__ import annotations

from matplotlib.axes import Axes

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.page.picture import Panel, Picture
from evidence.page.rows import LEFT, RIGHT, Group, Mark, draw_rows, height
from evidence.page.style import Ink, colour, marker
from evidence.sections.models.names import NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.readings import Gain, gains

GREY = "#7f7f7f"
LABELS = {OWN_FORMULAS: "same rewrite", NO_WORK: "upper limit"}


def models_picture(pack: Pack) -> Picture | None:
    """Each stage against the original, and the most that ops which do nothing would give."""
    panels = [
        _panel(f"{model}, {dtype}", found)
        for (model, dtype, phase, batch), found in gains(pack)
        if (phase, batch) == ("decode", 1)
    ]
    note = (
        "Decode at batch 1: tokens a second against the original, 95 % interval. Same rewrite: transformers' own "
        "formulas in the places of the ops. Upper limit: ops that do nothing."
    )
    return Picture("models", "Tokens a second by stage", note, tuple(panels)) if panels else None


def _panel(title: str, found: list[Gain]) -> Panel:
    stages = list(dict.fromkeys(gain.row["stage"] for gain in found if gain.row["stage"] != ORIGINAL))
    groups = tuple(Group(stage, tuple(_mark(gain) for gain in found if gain.row["stage"] == stage)) for stage in stages)

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "tokens a second against the original", text.factor, one="original")

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    return Panel(title, f"Decode of {title} against the original. {said}.", height(groups), LEFT, RIGHT, draw)


def _mark(gain: Gain) -> Mark:
    row = gain.row
    route = str(row["route"])
    value = Interval(row["ratio"], min(row["low"], row["ratio"]), max(row["high"], row["ratio"]))
    neither = route in LABELS
    same = value.low <= 1.0 <= value.high
    return Mark(
        LABELS[route] if neither else route,
        value,
        text.factor(row["ratio"]) + (" no diff." if same else ""),
        GREY if neither else colour(route),
        "d" if neither else marker(route),
        same,
    )
