"""The rows of the dispatch lab, route against route."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack, Row
from evidence.core.routes import order, representative


@dataclass(frozen=True)
class Dispatch:
    """One row of the pack's `dispatch` section; `time` in microseconds."""

    route: str
    mode: str
    time: Interval | None
    noisy: bool
    status: str
    message: str | None
    row: Row
    pointer: str


def dispatch(pack: Pack) -> list[Dispatch]:
    """All dispatch rows, by mode, OpenMP, threads and tensors, the plain call first, then route."""
    rows = [
        Dispatch(
            row["route"],
            row["mode"],
            interval(row["median_us"], row.get("low_us"), row.get("high_us")) if row["status"] == "ok" else None,
            bool(row.get("noisy")),
            row["status"],
            row.get("message"),
            row,
            f"/dispatch/rows/{index}",
        )
        for index, row in enumerate(pack.rows("dispatch"))
    ]
    modes = ("hot", "gap", "compiled")
    return sorted(
        rows,
        key=lambda found: (
            found.row["openmp"] != "idle",
            found.row["threads"],
            modes.index(found.mode),
            found.row["tensors"],
            order(found.route),
        ),
    )


def plain(rows: Iterable[Dispatch]) -> list[Dispatch]:
    """The rows that stand for a call in headlines: one thread, OpenMP idle, two tensors or the fewest measured."""
    some = [row for row in rows if row.row["threads"] == 1 and row.row["openmp"] == "idle"]
    numbers = {row.row["tensors"] for row in some}
    wanted = 2 if 2 in numbers else min(numbers, default=2)
    return [row for row in some if row.row["tensors"] == wanted]


def call_of(rows: Iterable[Dispatch], side: str, mode: str) -> Dispatch | None:
    """The timed call of the route that represents a side on the CPU; None where it has no time."""
    route = representative(side)
    return next((row for row in plain(rows) if (row.mode, row.route) == (mode, route) and row.time is not None), None)
