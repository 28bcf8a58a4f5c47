"""Intervals and spreads: the only two ways in which the reports state a ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TOO_CLOSE = "too close to call"
"""Neither a difference nor equality is shown."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, in the unit of its source."""

    mid: float
    low: float
    high: float

    @property
    def holds_one(self) -> bool:
        """True when 1.0 lies in the interval: it does not show which is better."""
        return self.low <= 1.0 <= self.high

    @property
    def above_one(self) -> bool:
        """True when the whole interval lies above 1.0."""
        return self.low > 1.0

    @property
    def below_one(self) -> bool:
        """True when the whole interval lies below 1.0."""
        return self.high < 1.0

    def inverse(self) -> Interval:
        """The interval of 1/x."""
        return Interval(1 / self.mid, 1 / self.high, 1 / self.low)

    def over(self, other: Interval) -> Interval:
        """This divided by `other`, as wide as the two intervals allow: for values that were not measured in pairs."""
        return Interval(self.mid / other.mid, self.low / other.high, self.high / other.low)


def interval(mid: float | None, low: float | None, high: float | None) -> Interval | None:
    """An interval from three numbers of a row; absent ends fall back to the middle, an absent middle gives None."""
    if mid is None:
        return None
    ends = (mid, mid if low is None else low, mid if high is None else high)
    return Interval(mid, min(ends), max(ends))


@dataclass(frozen=True)
class Spread:
    """A geometric mean, which never stands without the range and the count behind it."""

    mean: float
    low: float
    high: float
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """Geometric mean, smallest, largest and count of positive numbers; None when there are none."""
    numbers = list(values)
    if not numbers:
        return None
    mean = math.exp(math.fsum(math.log(value) for value in numbers) / len(numbers))
    return Spread(mean, min(numbers), max(numbers), len(numbers))
