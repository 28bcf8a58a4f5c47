"""What builds for other processors say of an op on its page."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.page.blocks import Block, Text
from evidence.page.common import ROUTE_NAMES, listed, row_links
from evidence.page.op_part import OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.targets.row import TargetRow


def builds(pack: Pack, op: str) -> list[Block]:
    """For how many processors the op was built on each side, and where it was not."""
    by_side: dict[str, list[Pointed[TargetRow]]] = {}
    for pointed in pack.pointed(TargetRow):
        if pointed.row.op == op:
            by_side.setdefault(pointed.row.side, []).append(pointed)
    if not by_side:
        return []
    rows = (_side(side, by_side[side]) for side in ROUTE_NAMES if side in by_side)
    heads = columns("Compiled for other processors", *numbers("Built"), "Not built", "Rows")
    return [
        Table(f"Builds of {op} for other processors", heads, tuple(rows), classes="wrap"),
        Text("Built is not run.", "note"),
    ]


def _side(side: str, pointed: list[Pointed[TargetRow]]) -> Line:
    built = [each.row.target for each in pointed if each.row.status == "built"]
    others = [f"{each.row.target} ({each.row.status})" for each in pointed if each.row.status != "built"]
    count = f"{len(built)} of {text.count(len(pointed), 'target')}"
    return row(ROUTE_NAMES[side], count, listed(others, 8) or "–", Cell(row_links(each.pointer for each in pointed)))


OP_PARTS = (OpPart(62, "Other processors", builds),)
