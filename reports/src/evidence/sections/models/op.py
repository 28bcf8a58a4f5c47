"""What whole models say of an op on its page: the share of their time that it takes."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.page.blocks import Block
from evidence.page.common import linked
from evidence.page.op_part import OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.sections.models.row import ShareRow


def shares(pack: Pack, op: str) -> list[Block]:
    """Share of a forward pass of each model that was spent in the op, in eager PyTorch."""
    rows = tuple(
        row(
            f"{share.model}, {share.dtype}",
            f"{share.phase}, batch {share.batch}",
            Cell(linked(f"{share.share:.1%}", pointed.pointer)),
            text.count(share.places, "call"),
        )
        for pointed in pack.pointed(ShareRow)
        if (share := pointed.row).op == op
    )
    heads = columns("Model", "Phase", *numbers("Share of its time", "In a forward pass"))
    return [Table(f"Share of {op} in models", heads, rows)] if rows else []


OP_PARTS = (OpPart(45, "Share of a model's time", shares),)
