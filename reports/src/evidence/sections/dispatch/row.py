"""Rows of the tables `dispatch`, `waterfall`, `crossover` and `threads`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import AtLeastOne, Base, Count, Positive, TimedStatus

PartKind = Literal["whole", "part", "remainder", "detail", "form"]
Pattern = Literal["alone", "alternating"]
PATTERNS: tuple[Pattern, ...] = ("alone", "alternating")


class DispatchRow(Struct, frozen=True, kw_only=True):
    """Time of one call with 16 elements.

    Attributes:
        tensors: tensors that the op takes.
        mode: in a tight loop, after a pause, or inside a compiled function.
        threads: of both pools.
        openmp: whether the OpenMP workers of PyTorch are spinning beside the call.
        ratio_to_eager, ratio_low, ratio_high: ratio to eager PyTorch (above 1: faster) and its interval.
        process_medians_us: median of each process.
    """

    route: str
    op: str | None = None
    elements: Count | None = None
    tensors: Count
    mode: Literal["hot", "gap", "compiled"]
    threads: AtLeastOne
    openmp: Literal["idle", "active"]
    status: TimedStatus
    message: str | None = None
    median_us: Positive | None
    low_us: Positive | None
    high_us: Positive | None
    ratio_to_eager: Positive | None = None
    ratio_low: Positive | None = None
    ratio_high: Positive | None = None
    pairs: Count | None = None
    noisy: bool = False
    noisy_because: str | None = None
    process_medians_us: tuple[Positive, ...] = ()


class WaterfallRow(Struct, frozen=True, kw_only=True):
    """One part of a call's time, which is negative where a difference of two measurements is.

    Attributes:
        context: `call`, or `compiled` inside a compiled function.
        how: how the part was measured.
    """

    route: str
    part: str
    kind: PartKind = "part"
    context: str = "call"
    how: str
    median_us: float | None
    low_us: float | None = None
    high_us: float | None = None
    status: TimedStatus
    message: str | None = None


class Point(Struct, frozen=True, kw_only=True):
    """Times of a route and of the one that it is compared with, at one size; a ratio above 1 means faster."""

    elements: Count
    us: Positive
    against_us: Positive
    ratio: Positive
    low: Positive
    high: Positive


class CrossoverRow(Struct, frozen=True, kw_only=True):
    """Break-even size of a route against another.

    Attributes:
        factor: how many times as fast as `against` the route must be.
        elements, elements_low, elements_high: the break-even size and its interval, or None where there is none.
        largest: the largest size that was measured.
        points: the sizes that were measured.
    """

    op: str
    route: str
    against: Base
    factor: Positive
    elements: Positive | None
    elements_low: Positive | None = None
    elements_high: Positive | None = None
    largest: AtLeastOne | None = None
    status: TimedStatus
    message: str | None = None
    points: tuple[Point, ...] = ()


class ThreadsRow(Struct, frozen=True, kw_only=True):
    """Time of an op under one setting of the thread pools.

    Attributes:
        what: what the setting does.
        pattern: the route alone, or in turns with another one.
        ratio_to_default, ratio_low, ratio_high: ratio to the default setting (above 1: faster) and its interval.
    """

    setting: str
    what: str | None = None
    route: str
    op: str
    elements: AtLeastOne
    pattern: Pattern | None = None
    status: TimedStatus
    message: str | None = None
    median_us: Positive | None
    low_us: Positive | None = None
    high_us: Positive | None = None
    ratio_to_default: Positive | None
    ratio_low: Positive | None = None
    ratio_high: Positive | None = None
