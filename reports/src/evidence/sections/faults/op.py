"""What the corpus of mistakes says on the page of an op."""

from __future__ import annotations

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.page.blocks import Block, Text
from evidence.page.common import anchor
from evidence.page.op_part import OpPart
from evidence.sections.faults.readings import faults


def mistakes(pack: Pack, op: str) -> list[Block]:
    """The mistakes that name the op, and where the others stand: the corpus is tried on an op of its own."""
    tried = faults(pack)
    if not tried:
        return []
    own = [fault for fault in tried if any(_names(op, row.diff or "") for row in fault.rows.values())]
    if own:
        link = Markup('<a href="#{}">{}</a>')
        titles = Markup("; ").join(
            link.format(anchor(next(iter(fault.pointers.values()))), fault.title) for fault in own
        )
        return [Text(Markup("Mistakes tried on this op: {}.").format(titles))]
    link = Markup('<a href="#faults">{}</a>').format(text.count(len(tried), "mistake"))
    return [Text(Markup("None was tried on this op: {} were tried on a small op of their own.").format(link), "note")]


def _names(op: str, diff: str) -> bool:
    """Whether a diff changes a file that is named after the op."""
    return any(
        line.startswith(("+++ ", "--- ")) and line.rpartition("/")[2].partition(".")[0] == op
        for line in diff.splitlines()
    )


OP_PARTS = (OpPart(75, "Mistakes", mistakes),)
