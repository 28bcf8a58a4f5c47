"""Tokens a second by stage and route, decode at batch 1, one panel a model and dtype."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.page.figure import Figure, Row, mark, single
from evidence.page.plots import marks
from evidence.sections.models.names import NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.readings import Gain, gains

LABELS = {OWN_FORMULAS: "same rewrite", NO_WORK: "upper limit"}


def figures(pack: Pack) -> list[Figure]:
    """Each stage against the original, and the most that ops which do nothing would give."""
    rows: list[Row] = []
    for (model, dtype, phase, batch), stages in gains(pack):
        if (phase, batch) == ("decode", 1):
            ordered = dict.fromkeys(gain.row.stage for gain in stages if gain.row.stage != ORIGINAL)
            for stage in ordered:
                for gain in stages:
                    if gain.row.stage == stage:
                        rows.append(_mark(f"{model}, {dtype}", len(rows), gain))
    note = (
        "Decode at batch 1: tokens a second against the original, 95% interval. Same rewrite: transformers' own "
        "formulas in the places of the ops. Upper limit: ops that do nothing."
    )
    spec = marks("tokens a second against the original", "ratio", "original")
    return [single("models", "Tokens a second by stage", note, spec, rows, markdown=True)]


def _mark(panel: str, line: int, gain: Gain) -> Row:
    row = gain.row
    value = Interval(row.ratio, min(row.low, row.ratio), max(row.high, row.ratio))
    route = row.route
    shown = text.factor(row.ratio) + (" ?" if value.holds_one else "")
    # What is measured with PyTorch's own operations has eager's mark.
    return mark(panel, line, "eager" if route in LABELS else route, value, shown, group=row.stage,
                label=LABELS.get(route), hollow=value.holds_one,
                tip=f"{row.stage}, {LABELS.get(route, route)}\n{text.ratio_words(value)}")  # fmt: skip
