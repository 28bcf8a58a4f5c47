"""What a section contributes to the pages of the ops. It stands in the section's `op.py`:

| name | is |
|---|---|
| `OP_PARTS` | parts of the page of an op |
| `OP_COLUMNS` | columns of the index of ops |
| `ops` | names of the ops that have a page because this section has rows of them |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from evidence.core.pack import Pack
from evidence.page.blocks import Block
from evidence.page.table import Cell


class OpPart(NamedTuple):
    """A part of the page of an op.

    Attributes:
        order: place on the page.
        title: its heading.
        of_op: what it shows of an op; nothing leaves the part out.
    """

    order: int
    title: str
    of_op: Callable[[Pack, str], list[Block]]


class OpColumn(NamedTuple):
    """A column of the index; `cells` gives op -> cell, and an op without a cell was not measured."""

    order: int
    title: str
    cells: Callable[[Pack], Mapping[str, Cell | str]]
