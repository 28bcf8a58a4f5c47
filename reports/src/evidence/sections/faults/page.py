"""What the page shows of mistakes: what each side does with the same one, and where it is noticed."""

from __future__ import annotations

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO
from evidence.core.status import MUTED, NO, NOT_IN_PACK, PART, YES, Status, status
from evidence.page.blocks import Block, Legend, Method, Text, banner
from evidence.page.common import anchor, shortened
from evidence.page.table import BOTH, PAGE, Cell, Table, columns, row
from evidence.sections.faults.readings import Fault, faults, summary

SIDES = {CPP: "C++", MOJO: "Mojo, MAX engine", "mojo_aot": "Mojo, shared library"}

CAUGHT = {
    "compile": Status("✓", "at compile time", YES),
    "load": Status("✓", "at load", YES),
    "call": Status("✓", "error at the call", YES),
    "sanitizer": Status("◐", "by a sanitizer only", PART),
    "no effect": Status("○", "no effect", MUTED),
    "not expressible": Status("○", "cannot be written", MUTED),
    "crash": Status("✗", "crash", NO),
    "hang": Status("✗", "hang", NO),
    "silent": Status("‼", "silent wrong result", NO),
    "did not run": Status("–", "did not run", MUTED),
}
"""Where a mistake is caught, from early to never."""

LONGEST = 220


def content(pack: Pack) -> list[Block]:
    """The table of mistakes."""
    blocks: list[Block] = [
        Text(
            "The same small mistake was made on each side, built and run. The table says when it is noticed, and by "
            "what. The earlier, the cheaper; a silently wrong result costs most."
        ),
        *banner(pack, "faults", "Faults", BOTH),
    ]
    table = fault_table(pack)
    return [*blocks, Method("faults"), Legend(tuple(CAUGHT.values())), table] if table.rows else blocks


METHODS = {
    "faults": "Each mistake is one edit of the same small op, correct on both sides, built as the packages here "
    "are and called in a process of its own with a timeout; the cell says where it was noticed first, and by whom. "
    "What passes in silence or crashes is built again with library assertions and sanitizers (“by a sanitizer "
    "only”). A warning is printed, and does not count as caught. Seconds until then were taken with two mistakes "
    "at once. reports/faults/README.md says what was not tried.",
}


def fault_table(pack: Pack) -> Table:
    """Faults as rows, sides as columns, and a count of each outcome by side."""
    mistakes = faults(pack)
    sides = [side for side in SIDES if any(side in fault.rows for fault in mistakes)]
    lines = []
    for fault in mistakes:
        mistake = (fault.mistake,) if fault.mistake else ()
        lines.append(row(Cell(fault.title, details=mistake), *(_cell(fault, side) for side in sides)))
    if lines:
        counts = summary(pack)
        totals = (
            Cell(Markup("<br>").join(f"{CAUGHT[caught].word} {number}" for caught, number in counts[side].items()))
            for side in sides
        )
        lines.append(row("In all", *totals, where=PAGE))
    heads = columns("Mistake", *(SIDES[side] for side in sides))
    return Table("Faults by side", heads, tuple(lines), classes="grid wrap", where=BOTH)


def _cell(fault: Fault, side: str) -> Cell:
    """What became of a mistake on a side: when it was noticed, by whom, the message and the edit."""
    if side not in fault.rows:
        return Cell(statuses=(NOT_IN_PACK,))
    line = fault.rows[side]
    caught = status(CAUGHT, line.caught)
    label = caught.word + (f" ({line.by})" if line.by else "")
    is_shipped_otherwise = fault.caught(side) == "sanitizer"
    details = (
        shortened(" ".join(str(line.message or "").split()), LONGEST),
        f"as shipped: {CAUGHT[fault.shipped(side)].word}" if is_shipped_otherwise else "",
        line.warning or "",
        f"source: {line.source}" if line.source else "",
    )
    seconds = Markup('<span class="note">{}</span>').format(text.seconds(line.seconds))
    edit = Markup('<details class="data"><summary>the edit</summary><pre>{}</pre></details>')
    return Cell(
        "" if line.seconds is None else seconds,
        (caught.called(label),),
        details=tuple(filter(None, details)),
        more=edit.format(line.diff) if line.diff else "",
        id=anchor(fault.pointers[side]),
    )
