"""What building says of an op on its page: how long one more op takes, which was measured with an op of the lab."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.page.blocks import Block, Text
from evidence.page.common import ROUTE_NAMES, linked
from evidence.page.op_part import OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.sections.build.table import KIND_NAMES, build

KINDS = ("add_op", "edit", "binding_edit")
"""Stages that one op adds to the work of a developer."""


def one_op(pack: Pack, op: str) -> list[Block]:
    """Seconds for a new op, and for an edit of one, by route."""
    stages = {kind: routes for kind, routes in build(pack).items() if kind in KINDS}
    routes = [route for route in ROUTE_NAMES if any(route in of_kind for of_kind in stages.values())]
    if not routes:
        return []
    rows = []
    for kind, of_kind in stages.items():
        times = [
            Cell(linked(text.seconds(stage.time.mid), stage.pointer))
            if (stage := of_kind.get(route)) is not None and stage.time is not None
            else Cell("–")
            for route in routes
        ]
        rows.append(row(text.upper_first(KIND_NAMES[kind]), *times))
    note = "Measured with one op of the build lab, not with this one: what is built beside the op is the same for all."
    heads = columns("Stage", *numbers(*(ROUTE_NAMES[route] for route in routes)))
    return [Table("Build time of one op", heads, tuple(rows)), Text(note, "note")]


OP_PARTS = (OpPart(60, "Build", one_op),)
