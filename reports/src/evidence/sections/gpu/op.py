"""What the emulation of GPU kernels says of an op on its page."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import SIDE_NAMES
from evidence.page.blocks import Block, Text
from evidence.page.common import linked
from evidence.page.op_part import OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.gpu import readings
from evidence.sections.gpu.row import GpuRow

WARP = 32
NO_TIME = (
    "Emulated: the code for a GPU was executed on the CPU, which counts memory sectors of 32 bytes and instructions of "
    "a warp, and shows no time."
)


def ops(pack: Pack) -> list[str]:
    """Ops that were emulated, also where the run of the other rows had other ops."""
    return list(dict.fromkeys(row.op for row in pack.table(GpuRow)))


def counts(pack: Pack, op: str) -> list[Block]:
    """Results, memory sectors and instructions of the emulated kernels, by side and dtype."""
    rows = [_line(pointed) for pointed in pack.pointed(GpuRow) if pointed.row.op == op]
    if not rows:
        return [Text("The GPU kernels of this op were not emulated in this pack.", "note")]
    heads = columns(
        "Side",
        "Dtype",
        "Calls",
        *numbers("Sectors moved", "relative to the least", f"Instructions per {WARP} elements", "Registers"),
    )
    return [Text(NO_TIME), Table(f"Emulated GPU kernels of {op}", heads, tuple(rows))]


def _line(pointed: Pointed[GpuRow]) -> Line:
    counted = pointed.row
    bad = counted.wrong or counted.problems
    word = f"{counted.wrong} of {counted.cases} wrong, {text.count(counted.problems, 'problem')}" if bad else ""
    calls = word or (f"{text.count(counted.cases, 'call')} right" if counted.cases else "not emulated")
    share = readings.traffic_share(counted)
    moved = None if counted.load_sectors is None else counted.load_sectors + (counted.store_sectors or 0)
    registers = [kernel.registers for kernel in counted.kernels]
    return row(
        SIDE_NAMES[counted.side],
        counted.dtype,
        Cell(linked(calls, pointed.pointer), notes=(counted.message,) if counted.message else ()),
        "–" if moved is None else f"{moved:,}",
        "–" if share is None else text.factor(share),
        text.short(WARP * counted.warp_instructions / counted.elements)
        if counted.warp_instructions and counted.elements
        else "–",
        readings.span(min(registers), max(registers)) if registers else "–",
    )


OP_PARTS = (OpPart(70, "GPU, emulated", counts),)
