"""The rows of the dispatch lab, route against route."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack
from evidence.core.routes import order, representative
from evidence.sections.dispatch.row import DispatchRow


@dataclass(frozen=True)
class Dispatch:
    """One row of the pack's `dispatch` section; `time` in microseconds."""

    route: str
    mode: str
    time: Interval | None
    noisy: bool
    status: str
    message: str | None
    row: DispatchRow
    pointer: str


def dispatch(pack: Pack) -> list[Dispatch]:
    """All dispatch rows, by mode, OpenMP, threads and tensors, the plain call first, then route."""
    rows = [
        Dispatch(
            row.route,
            row.mode,
            interval(row.median_us, row.low_us, row.high_us) if row.status == "ok" else None,
            row.noisy,
            row.status,
            row.message,
            row,
            pointed.pointer,
        )
        for pointed in pack.pointed(DispatchRow)
        for row in [pointed.row]
    ]
    modes = ("hot", "gap", "compiled")
    return sorted(
        rows,
        key=lambda call: (
            call.row.openmp != "idle",
            call.row.threads,
            modes.index(call.mode),
            call.row.tensors,
            order(call.route),
        ),
    )


def plain(rows: Iterable[Dispatch]) -> list[Dispatch]:
    """The rows that stand for a call in headlines: one thread, OpenMP idle, two tensors or the fewest measured."""
    calls = [call for call in rows if call.row.threads == 1 and call.row.openmp == "idle"]
    numbers = {call.row.tensors for call in calls}
    tensors = 2 if 2 in numbers else min(numbers, default=2)
    return [call for call in calls if call.row.tensors == tensors]


def call_of(rows: Iterable[Dispatch], side: str, mode: str) -> Dispatch | None:
    """The timed call of the route that represents a side on the CPU; None where it has no time."""
    route = representative(side)
    return next((row for row in plain(rows) if (row.mode, row.route) == (mode, route) and row.time is not None), None)
