"""What changed in run time between two packs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack
from evidence.core.thresholds import MATTERS
from evidence.judge.beyond_noise import Shift, beyond_noise, common_shift
from evidence.judge.diff import (
    BETTER,
    CHANGED,
    REGRESSION,
    Diff,
    apart,
    change_of_status,
    common,
    geometric,
    name_of,
    to_eager,
)
from evidence.sections.runtime.noise import Bands
from evidence.sections.runtime.row import RuntimeRow

KEY = ("op", "route", "device", "dtype", "sample", "mode")


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Ratios to eager: a row changed when it moved beyond the noise of both runs (`beyond_noise`, for the rows of its
    route) and their noise bands; it is worse when the time rose too.

    The ratio is measured in interleaved pairs and does not move with the machine's load; the time guards against an
    eager PyTorch that became faster.
    """
    bands = [Bands.of(before), Bands.of(after)]
    eager = []
    by_route: dict[str, list[_Moved]] = {}
    for a, b in common(before, after, RuntimeRow, KEY, changes):
        change_of_status("runtime", name_of(a, KEY), a, b, changes)
        if a.status != "ok" or b.status != "ok" or a.median_us is None or b.median_us is None:
            continue
        _count_overlap(a, b, changes)
        if a.route == "eager":
            eager.append(b.median_us / a.median_us)
            continue
        old, new = to_eager(a), to_eager(b)
        if old is not None and new is not None:
            by_route.setdefault(a.route, []).append(_Moved(a, b, old, new))
    for route, moved in by_route.items():
        _route_changes(route, moved, bands, changes)
    changes.eager_time = geometric(eager)
    if changes.eager_time and not 1 / MATTERS < changes.eager_time < MATTERS:
        changes.notes.append(
            f"eager itself took {text.factor(changes.eager_time)} the time in B: the machine or PyTorch changed"
        )


@dataclass(frozen=True)
class _Moved:
    """A row of both packs with its ratio to eager in each."""

    a: RuntimeRow
    b: RuntimeRow
    old: Interval
    new: Interval

    @property
    def shift(self) -> Shift:
        return Shift.between(self.old, self.new)

    @property
    def time(self) -> float:
        """Time in B over that in A."""
        return (self.b.median_us or 0.0) / (self.a.median_us or 1.0)

    @property
    def noisy(self) -> bool:
        return self.a.noisy or self.b.noisy


def _kind(speed: float, time: float) -> str:
    """Of a change of the ratio to eager, with what became of the time itself."""
    return REGRESSION if speed < 1 < time else BETTER if time < 1 < speed else CHANGED


def _route_changes(route: str, moved: Sequence[_Moved], bands: Sequence[Bands], changes: Diff) -> None:
    """What changed of a route: all of its rows together, and single rows beyond that."""
    by_op: dict[str, list[Shift]] = {}
    for row in moved:
        by_op.setdefault(row.a.op, []).append(row.shift)
    shift = common_shift(by_op)
    if shift is not None and not shift.holds_one and not 1 / MATTERS < shift.mid < MATTERS:
        time = geometric(row.time for row in moved) or 1.0
        what = f"{route}, all {len(moved)} rows of {text.count(len(by_op), 'op')}"
        changes.add("runtime", _kind(shift.mid, time), what, "1×", f"{text.ratio(shift)} of A's speed", shift.mid)
    for row, is_beyond in zip(moved, beyond_noise([row.shift for row in moved]), strict=True):
        limit = max(MATTERS, *(each.to_base(row.a, "eager") for each in bands))
        factor = row.new.mid / row.old.mid
        if not is_beyond or 1 / limit < factor < limit:
            continue
        kind = CHANGED if row.noisy else _kind(factor, row.time)
        was, now = (
            f"{text.ratio(ratio)} of eager, {text.micros(timed.median_us)}"
            for ratio, timed in ((row.old, row.a), (row.new, row.b))
        )
        changes.add("runtime", kind, name_of(row.a, KEY), was, now, factor)


def _count_overlap(a: RuntimeRow, b: RuntimeRow, changes: Diff) -> None:
    """Eager's ratio to cpp is the other way round in cpp's own row, and counts there."""
    for base, names in (
        ("eager", ("ratio_to_eager", "ratio_low", "ratio_high")),
        ("cpp", ("ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high")),
    ):
        old, new = (interval(*(getattr(row, name) for name in names)) for row in (a, b))
        if a.route not in ("eager", base) and old is not None and new is not None:
            changes.intervals += 1
            changes.overlapping += not apart(old, new)
