"""How a decision's criteria are combined: a weighted mean of clipped logarithms with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evidence.analyse.criteria import Measured
from evidence.analyse.numbers import Interval
from evidence.analyse.routes import CPP, MOJO
from evidence.analyse.thresholds import MATTERS


@dataclass(frozen=True)
class Part:
    """One criterion of a question with its weight."""

    id: str
    name: str
    weight: float
    why: str | None
    measured: Measured


@dataclass(frozen=True)
class Counted:
    """What a part counts as: logarithms of its factor and of its ends, within the clip; 0 when nothing is shown."""

    mid: float
    low: float
    high: float


def counted(measured: Measured, clip: float) -> Counted | None:
    """None when the criterion was not measured. What is not decided counts as 0 and keeps its interval."""
    factor = measured.factor
    if factor is None:
        return None
    limit = math.log(clip)
    mid, low, high = (max(-limit, min(limit, math.log(value))) for value in (factor.mid, factor.low, factor.high))
    return Counted(mid, low, high) if measured.decided else Counted(0.0, min(low, 0.0), max(high, 0.0))


@dataclass(frozen=True)
class Weighed:
    """The weighted mean as a factor, above 1 = Mojo better, and the share of the weight that was measured."""

    factor: Interval | None
    share: float

    @property
    def favours(self) -> str | None:
        """The side that the mean favours beyond its interval and by a factor that matters."""
        if self.factor is None:
            return None
        if self.factor.above_one and self.factor.mid >= MATTERS:
            return MOJO
        return CPP if self.factor.below_one and self.factor.mid <= 1 / MATTERS else None


def weigh(parts: Sequence[Part], clip: float) -> Weighed:
    """Weighted mean of the logarithms; the ends add in quadrature, since each criterion is measured by itself."""
    known = [(part.weight, value) for part in parts if part.weight and (value := counted(part.measured, clip))]
    return _mean(known, math.fsum(part.weight for part in parts))


def _mean(known: Sequence[tuple[float, Counted]], whole: float) -> Weighed:
    total = math.fsum(weight for weight, _ in known)
    if not total:
        return Weighed(None, 0.0)
    mid = math.fsum(weight * value.mid for weight, value in known) / total
    down = math.sqrt(math.fsum((weight * (value.mid - value.low)) ** 2 for weight, value in known)) / total
    up = math.sqrt(math.fsum((weight * (value.high - value.mid)) ** 2 for weight, value in known)) / total
    return Weighed(Interval(math.exp(mid), math.exp(mid - down), math.exp(mid + up)), total / whole)


def doubled(parts: Sequence[Part], index: int) -> list[Part]:
    """The parts with one weight doubled."""
    return [replace(part, weight=2 * part.weight) if i == index else part for i, part in enumerate(parts)]


def moved(measured: Measured, factor: float) -> Measured:
    """A criterion whose factor is another one, its interval as wide as it was measured."""
    have = measured.factor
    assert have is not None
    scale = factor / have.mid
    return replace(measured, factor=Interval(factor, have.low * scale, have.high * scale))


@dataclass(frozen=True)
class Flip:
    """The nearest value of one criterion's factor at which another side, or none, is favoured."""

    part: Part
    factor: float
    favours: str | None

    @property
    def distance(self) -> float:
        """How far the factor would have to move, as a logarithm."""
        assert self.part.measured.factor is not None
        return abs(math.log(self.factor / self.part.measured.factor.mid))


STEPS = 60
HALVINGS = 24


def flips(parts: Sequence[Part], clip: float) -> list[Flip]:
    """For each measured criterion the nearest factor, within the clip, that changes whom the mean favours.

    The weighing is inverted by search, nearest first: outward from the measured factor in small steps, then by halving.
    """
    now = weigh(parts, clip).favours
    whole, limit = math.fsum(part.weight for part in parts), math.log(clip)
    values = [(part, counted(part.measured, clip)) for part in parts if part.weight]
    found = []
    for part, value in values:
        if part.measured.factor is None or value is None:
            continue
        others = [(other.weight, one) for other, one in values if one and other is not part]

        def favours(log: float, part: Part = part, others: list[tuple[float, Counted]] = others) -> str | None:
            here = counted(moved(part.measured, math.exp(log)), clip)
            assert here is not None
            return _mean([*others, (part.weight, here)], whole).favours

        start = math.log(part.measured.factor.mid)
        for end in (-limit, limit):
            before, step = start, (end - start) / STEPS
            if step * end <= 0:
                continue
            for number in range(1, STEPS + 1):
                here = start + number * step
                if favours(here) != now:
                    turn = _turn(favours, now, before, here)
                    found.append(Flip(part, math.exp(turn), favours(turn)))
                    break
                before = here
    return sorted(found, key=lambda flip: flip.distance)


def _turn(favours: Callable[[float], str | None], now: str | None, same: float, other: float) -> float:
    """Where between two logarithms the favoured side changes, by halving."""
    for _ in range(HALVINGS):
        middle = (same + other) / 2
        if favours(middle) == now:
            same = middle
        else:
            other = middle
    return other
