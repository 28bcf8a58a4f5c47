"""The figure of where each side loses, from the losses that all sections declare."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.judge.losses import LossGroup, loss_groups, losses
from evidence.page.figure import Figure, Row, mark, single
from evidence.page.plots import OP_LABELS, marks
from evidence.sections.build.table import KIND_NAMES
from evidence.sections.runtime.cases import cases


def losses_figure(pack: Pack) -> Figure:
    """For each side, how many times worse it is, wherever it is worse."""
    all_cases = cases(pack)
    rows: list[Row] = []
    for side, side_losses in losses(pack, all_cases).items():
        groups = loss_groups(side_losses, all_cases)
        for kind in dict.fromkeys(group.kind for group in groups):
            for group in groups:
                if group.kind == kind:
                    rows.append(_mark(f"Where {SIDE_NAMES[side]} loses", len(rows), group))
    note = "How many times worse; for run time the mark is the geometric mean of the rows lost and the bar their range."
    spec = marks("times worse", "ratio", "equal", labels=OP_LABELS, values=64)
    return single("losses", "Where each side loses", note, spec, rows)


def _mark(panel: str, line: int, group: LossGroup) -> Row:
    many = group.of > 1
    factor = group.factor if many else Interval(*[group.factor.mid] * 3)
    label = _brief(group.name) + (f" {group.lost} of {group.of}" if many else "")
    return mark(panel, line, group.route, factor, text.factor(factor.mid), group=group.kind, label=label,
                tip=f"{group.name}, {group.route}\n{text.ratio(factor)}")  # fmt: skip


def _brief(name: str) -> str:
    brief = {
        "call of 16 elements": "tight loop",
        "call of 16 elements after a gap": "after a gap",
        KIND_NAMES["edit"]: "edit to result",
        KIND_NAMES["noop"]: "nothing changed",
        KIND_NAMES["prerequisites"]: "prerequisites",
        KIND_NAMES["binding_edit"]: "binding edit",
        KIND_NAMES["add_op"]: "new op",
        KIND_NAMES["add_arch"]: "one GPU more",
        KIND_NAMES["add_cpu"]: "another CPU",
        KIND_NAMES["first_call_new_shape"]: "first call, new shape",
    }
    return brief.get(name, name.split(",")[0])
