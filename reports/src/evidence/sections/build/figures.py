"""The figure of build times."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.page.common import anchor
from evidence.page.figure import Figure, Row, mark, single
from evidence.page.plots import marks
from evidence.sections.build.table import KIND_NAMES, build

SHORT_NAMES = {
    KIND_NAMES["prerequisites"]: "prerequisites",
    KIND_NAMES["noop"]: "nothing changed",
    KIND_NAMES["edit"]: "edit to result",
    KIND_NAMES["binding_edit"]: "binding edit",
    KIND_NAMES["add_op"]: "new op",
    KIND_NAMES["add_arch"]: "one GPU more",
    KIND_NAMES["add_cpu"]: "another CPU",
    KIND_NAMES["first_call_new_shape"]: "first call, new shape",
}
"""Names of stages for figures that show them beside other losses."""


def figures(pack: Pack) -> list[Figure]:
    """Seconds of each build stage, corresponding stages together."""
    rows: list[Row] = []
    for kind, stages in build(pack).items():
        name = KIND_NAMES.get(kind, kind.replace("_", " "))
        for route, stage in stages.items():
            shown = text.seconds(stage.time.mid) if stage.time else stage.status
            tip = "\n".join((name, route, shown, *([stage.message] if stage.message else [])))
            rows.append(mark("Build stages", len(rows), route, stage.time, shown, group=name, tip=tip,
                             row=anchor(stage.pointer)))  # fmt: skip
    note = "Mark: median; bar: range over the repeats. Logarithmic axis."
    spec = marks("time, left is quicker", "s", stems=True)
    return [single("build", "Build stages", note, spec, rows, markdown=True)]
