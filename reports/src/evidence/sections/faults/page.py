"""What the page shows of mistakes: what each side does with the same one, and where it is noticed."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO
from evidence.core.status import MUTED, NO, NOT_IN_PACK, PART, YES, Status, status
from evidence.page.blocks import Block, Legend, Method, banner, rows_details
from evidence.page.common import anchor, finding, shortened
from evidence.page.table import BOTH, Cell, Table, columns, numbers, row
from evidence.sections.faults.readings import Fault, faults, summary
from evidence.sections.faults.row import FaultRow

SIDES = {CPP: "C++", "mojo_aot": "Mojo (shared library)", MOJO: "Mojo (MAX engine)"}

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

HARMFUL = ("silent", "crash", "hang")
"""What a mistake does that no message explains."""

LONGEST = 220


def content(pack: Pack) -> list[Block]:
    """How many mistakes each side notices, and when; folded: mistake by mistake."""
    blocks: list[Block] = [*finding(*_findings(pack)), *banner(pack, "faults", "Faults", BOTH)]
    mistakes = fault_table(pack)
    if not mistakes.rows:
        return blocks
    legend = Legend(tuple(CAUGHT.values()))
    return [
        *blocks,
        count_table(pack),
        Method("faults"),
        rows_details("Every mistake", mistakes, False, "", legend),
    ]


def _findings(pack: Pack) -> Iterator[str]:
    """How many mistakes each compiler rejects, and how many end in a wrong result or a crash without a word."""
    if not pack.table(FaultRow):
        return
    counts = summary(pack)
    shares = {side: f"{counts[side].get('compile', 0)} of {sum(counts[side].values())}" for side in counts}
    yield f"The same small mistakes, made on each side. Rejected at compile time: {_by_side(shares)}."
    unnoticed = summary(pack, shipped=True)
    harmful = {
        side: f"{sum(ends.get(end, 0) for end in HARMFUL)} of {sum(ends.values())}" for side, ends in unnoticed.items()
    }
    yield f"As shipped, a silent wrong result, a crash or a hang: {_by_side(harmful)}."


def _by_side(figures: dict[str, str]) -> str:
    return ", ".join(f"{name} {figures[side]}" for side, name in SIDES.items() if side in figures)


def count_table(pack: Pack) -> Table:
    """Where a mistake is noticed, from early to never, and how many of each side are."""
    counts = summary(pack)
    sides = [side for side in SIDES if side in counts]
    rows = (
        row(Cell(statuses=(CAUGHT[caught],)), *(counts[side].get(caught, 0) for side in sides))
        for caught in CAUGHT
        if any(caught in counts[side] for side in sides)
    )
    heads = columns("Noticed", *numbers(*(SIDES[side] for side in sides)))
    return Table("Mistakes by where they are noticed", heads, tuple(rows), where=BOTH)


METHODS = {
    "faults": "Each mistake is one edit of the same small op, correct on both sides, built as the packages here "
    "are and called in a process of its own with a timeout; the cell says where it was noticed first, and by whom. "
    "What passes in silence or crashes is built again with library assertions and sanitizers (“by a sanitizer "
    "only”). A warning is printed, and does not count as caught. Seconds until then were taken with two mistakes "
    "at once. reports/faults/README.md says what was not tried.",
}


def fault_table(pack: Pack) -> Table:
    """Faults as rows, sides as columns."""
    mistakes = faults(pack)
    sides = [side for side in SIDES if any(side in fault.rows for fault in mistakes)]
    lines = []
    for fault in mistakes:
        mistake = (fault.mistake,) if fault.mistake else ()
        lines.append(row(Cell(fault.title, details=mistake), *(_cell(fault, side) for side in sides)))
    heads = columns("Mistake", *(SIDES[side] for side in sides))
    return Table("Faults by side", heads, tuple(lines), classes="grid wrap")


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
