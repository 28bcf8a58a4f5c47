"""What is known of the GPU kernels: where they ran on a device, what emulation showed, and what only built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.core import text
from evidence.core.interval import Spread, spread
from evidence.core.pack import RAN, Pack, Pointed
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.sections.gpu.row import GpuRow


@dataclass(frozen=True)
class Emulated:
    """The emulation of one side's GPU kernels.

    Attributes:
        side: `cpp` or `mojo`.
        ops: every op that was emulated.
        faulty: those with a wrong result or a problem in any dtype.
        cases: calls of all ops.
        traffic: sectors requested over the fewest that hold what was requested, by op and dtype; None without counters.
        rows: the rows that it stands on.
    """

    side: str
    ops: tuple[str, ...]
    faulty: tuple[str, ...]
    cases: int
    traffic: Spread | None
    rows: tuple[Pointed[GpuRow], ...]

    @property
    def right(self) -> bool:
        """Whether every op gave right results and no problem was found."""
        return not self.faulty


def emulated(pack: Pack) -> dict[str, Emulated]:
    """Side -> what its emulation showed; a side that was not emulated is left out."""
    by_side: dict[str, list[Pointed[GpuRow]]] = {}
    for pointed in pack.pointed(GpuRow):
        if tried(pointed.row):
            by_side.setdefault(pointed.row.side, []).append(pointed)
    return {side: _emulated(side, by_side[side]) for side in SIDES if side in by_side}


def tried(row: GpuRow) -> bool:
    """Whether there was a call, or a reason why it could not be made, such as a process that died."""
    return bool(row.cases or row.problems)


def _emulated(side: str, pointed: Sequence[Pointed[GpuRow]]) -> Emulated:
    rows = [each.row for each in pointed]
    ops = tuple(dict.fromkeys(row.op for row in rows))
    faulty = {row.op for row in rows if row.wrong or row.problems}
    traffic = spread(share for row in rows if (share := traffic_share(row)) is not None)
    cases = sum(row.cases for row in rows)
    return Emulated(side, ops, tuple(op for op in ops if op in faulty), cases, traffic, tuple(pointed))


def traffic_share(row: GpuRow) -> float | None:
    """Sectors of 32 bytes that the warps' requests touch, over the fewest that hold the bytes of these requests."""
    if not row.least_sectors or row.load_sectors is None or row.store_sectors is None:
        return None
    return (row.load_sectors + row.store_sectors) / row.least_sectors


def results_words(side: Emulated) -> str:
    """`C++ 22 of 22 ops right`, with the names of the others."""
    right = len(side.ops) - len(side.faulty)
    names = f" (not {', '.join(side.faulty)})" if side.faulty else ""
    return f"{SIDE_NAMES[side.side]} {right} of {text.count(len(side.ops), 'op')} right{names}"


def traffic_words(side: Emulated) -> str | None:
    """`C++ 1–1.9×` of the least memory sectors, over ops and dtypes; None without counters."""
    if side.traffic is None:
        return None
    return f"{SIDE_NAMES[side.side]} {span(side.traffic.low, side.traffic.high)}×"


def span(low: float, high: float) -> str:
    """`1–1.9`, or `1.9` where both are the same, with three significant digits at most."""
    ends = list(dict.fromkeys(f"{end:.3g}" if end < 100 else f"{end:,.0f}" for end in (low, high)))
    return "–".join(ends)


def summary(pack: Pack) -> str | None:
    """One sentence on what emulation showed of the NVIDIA kernels, None where nothing was emulated."""
    sides = list(emulated(pack).values())
    if not sides:
        return None
    whole = len(sides) == len(SIDES) and pack.section_status("gpu") == RAN
    if all(side.right for side in sides) and whole:
        results = "the kernels of both sides give right results under emulation"
    else:
        results = f"under emulation: {', '.join(map(results_words, sides))}"
    traffic = [figure for side in sides if (figure := traffic_words(side))]
    return results + (f"; memory sectors requested, relative to the least: {', '.join(traffic)}" if traffic else "")


def summary_rows(pack: Pack) -> list[str]:
    """Pointers to the rows of the summary."""
    return [pointed.pointer for side in emulated(pack).values() for pointed in side.rows]
