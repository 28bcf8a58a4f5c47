"""The pages of the ops, `#op/rms_norm`, and their index, `#op`: collected from the sections, none of which is named.

They stand in the report once, compressed; `templates/op.js` shows one in place of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from markupsafe import Markup

from evidence.core.pack import Pack
from evidence.core.section import declarations
from evidence.core.tables import all_tables
from evidence.page.blocks import Block, Text
from evidence.page.common import op_link, row_links
from evidence.page.op_part import OpColumn, OpPart
from evidence.page.table import Cell, Table, columns, row

NOT_MEASURED = Cell("not measured", classes="muted")


def op_names(pack: Pack) -> list[str]:
    """The ops that have a page."""
    return sorted({op for _, ops in declarations("op", "ops") for op in ops(pack)})


def op_pages(pack: Pack, print_blocks: Callable[[list[Block]], str]) -> dict[str, Any]:
    """What `templates/op.js` makes the pages of: the `index`, and `parts` in their order.

    A part has a `title` and the HTML `of` each op that it says something of. It is kept together over the ops, whose
    sources and tables then compress to four fifths of what whole pages take.
    """
    names = op_names(pack)
    declared = sorted((part for _, each in declarations("op", "OP_PARTS") for part in each), key=_order)
    return {
        "index": print_blocks([index(pack, names)]),
        "parts": [
            {
                "title": part.title,
                "of": {op: print_blocks(blocks) for op in names if (blocks := part.of_op(pack, op))},
            }
            for part in [*declared, OpPart(100, "Rows in the pack", rows_of)]
        ],
    }


def index(pack: Pack, names: list[str]) -> Table:
    """Every op with what the sections say of it in a few words."""
    declared = sorted((column for _, each in declarations("op", "OP_COLUMNS") for column in each), key=_order)
    shown = [(column, cells) for column in declared if (cells := column.cells(pack))]
    rows = (row(op_link(op), *(cells.get(op, NOT_MEASURED) for _, cells in shown)) for op in names)
    return Table("Ops", columns("Op", *(column.title for column, _ in shown)), tuple(rows), classes="grid wrap")


def rows_of(pack: Pack, op: str) -> list[Block]:
    """Links to every row of the pack that is about the op."""
    return [Text(row_links(pointers)) for pointers in _pointers(pack, op)]


def _pointers(pack: Pack, op: str) -> Iterator[list[str]]:
    for row_type in all_tables().values():
        pointers = [each.pointer for each in pack.pointed(row_type) if getattr(each.row, "op", None) == op]
        if pointers:
            yield pointers


def _order(contribution: OpPart | OpColumn) -> int:
    return contribution.order


class Unfolded:
    """What `blocks.html` asks of a page whose folds are not compressed one by one: these pages are, as a whole."""

    def attributes(self, classes: str, body: str) -> Markup:
        """No attribute: the fold holds its content."""
        return Markup("")


def page_values(methods: dict[str, str]) -> dict[str, Any]:
    """The values that the blocks of a page of an op are printed with."""
    return {"methods": methods, "figures": {}, "rounds": {"rows": {}}, "folds": Unfolded()}
