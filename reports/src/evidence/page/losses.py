"""The figure of where each side loses, from the losses that all sections declare."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.core.section import declarations
from evidence.judge.losses import LossGroup, loss_groups
from evidence.page.figure import Figure, Row, mark, single
from evidence.page.plots import OP_LABELS, marks


def losses_figure(pack: Pack) -> Figure:
    """For each side, how many times worse it is, wherever it is worse."""
    names = {name: short for _, declared in declarations("figures", "SHORT_NAMES") for name, short in declared.items()}
    rows: list[Row] = []
    for side, groups in loss_groups(pack).items():
        for group in groups:
            label = names.get(group.name, group.name.split(",")[0])
            rows.append(_mark(f"Where {SIDE_NAMES[side]} loses", len(rows), label, group))
    note = "How many times worse; for run time the mark is the geometric mean of the rows lost and the bar their range."
    spec = marks("times worse", "ratio", "equal", labels=OP_LABELS, values=64)
    return single("losses", "Where each side loses", note, spec, rows)


def _mark(panel: str, line: int, label: str, group: LossGroup) -> Row:
    many = group.of > 1
    factor = group.factor if many else Interval(*[group.factor.mid] * 3)
    share = f" {group.lost} of {group.of}" if many else ""
    return mark(panel, line, group.route, factor, text.factor(factor.mid), group=group.kind, label=label + share,
                tip=f"{group.name}, {group.route}\n{text.ratio(factor)}")  # fmt: skip
