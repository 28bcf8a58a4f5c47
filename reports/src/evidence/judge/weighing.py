"""How a decision's criteria are combined: a weighted mean of clipped logarithms with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evidence.core.interval import Interval
from evidence.core.routes import CPP, MOJO
from evidence.core.thresholds import DECIDED_CRITERIA, DECIDED_SHARE, MATTERS
from evidence.judge.criteria import Measured


@dataclass(frozen=True)
class Part:
    """One criterion of a question with its weight."""

    id: str
    name: str
    weight: float
    why: str | None
    measured: Measured


def counted(measured: Measured, clip: float) -> Interval | None:
    """What a criterion counts as: the logarithms of its factor and of its ends, within the clip.

    What is not shown to differ counts as 0 and keeps its interval; None when it was not measured.
    """
    factor = measured.factor
    if factor is None:
        return None
    limit = math.log(clip)
    mid, low, high = (max(-limit, min(limit, math.log(value))) for value in (factor.mid, factor.low, factor.high))
    return Interval(mid, low, high) if measured.differs else Interval(0.0, min(low, 0.0), max(high, 0.0))


@dataclass(frozen=True)
class Weighed:
    """The weighted mean as a factor, above 1 = Mojo better, and what it stands on.

    Attributes:
        factor: None where nothing was measured.
        share: share of the weight that was measured.
        differing: criteria that show a difference.
        decided_share: share of the weight of the criteria that show a difference, or that both sides are equal.
    """

    factor: Interval | None
    share: float
    differing: int = 0
    decided_share: float = 0.0

    @property
    def leans(self) -> str | None:
        """The side that the mean is on with its whole interval and by a factor that matters."""
        if self.factor is None:
            return None
        if self.factor.above_one and self.factor.mid >= MATTERS:
            return MOJO
        return CPP if self.factor.below_one and self.factor.mid <= 1 / MATTERS else None

    @property
    def enough(self) -> bool:
        """Whether enough criteria are decided to answer the question."""
        return self.differing >= DECIDED_CRITERIA and self.decided_share >= DECIDED_SHARE

    @property
    def favours(self) -> str | None:
        """The side that the mean leans to, if enough criteria are decided."""
        return self.leans if self.enough else None


def weigh(parts: Sequence[Part], clip: float) -> Weighed:
    """Weighted mean of the logarithms; the ends add in quadrature, since each criterion is measured by itself."""
    known = [(part.weight, value) for part in parts if part.weight and (value := counted(part.measured, clip))]
    whole = math.fsum(part.weight for part in parts)
    total = math.fsum(weight for weight, _ in known)
    if not total:
        return Weighed(None, 0.0)
    mid = math.fsum(weight * value.mid for weight, value in known) / total
    down = math.sqrt(math.fsum((weight * (value.mid - value.low)) ** 2 for weight, value in known)) / total
    up = math.sqrt(math.fsum((weight * (value.high - value.mid)) ** 2 for weight, value in known)) / total
    factor = Interval(math.exp(mid), math.exp(mid - down), math.exp(mid + up))
    decided = [part.weight for part in parts if part.weight and part.measured.decided]
    differing = sum(bool(part.weight) and part.measured.differs for part in parts)
    return Weighed(factor, total / whole, differing, math.fsum(decided) / whole)


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


OTHER = {CPP: MOJO, MOJO: CPP}
STEPS = 60
HALVINGS = 24


def flips(parts: Sequence[Part], clip: float) -> list[Flip]:
    """For each measured criterion the nearest factor, within the clip, that changes which side is favoured.

    The weighing is inverted by search, nearest first: outward from the measured factor in small steps, then by halving.
    A criterion that becomes better for one side can complete the number that a decision for the other side needs; such
    a change is no argument and is left out.
    """
    now, limit = weigh(parts, clip).favours, math.log(clip)
    nearest = []
    for index, part in enumerate(parts):
        if part.measured.factor is None or not part.weight:
            continue

        def favours(log: float, index: int = index, part: Part = part) -> str | None:
            changed = replace(part, measured=moved(part.measured, math.exp(log)))
            return weigh([*parts[:index], changed, *parts[index + 1 :]], clip).favours

        start = math.log(part.measured.factor.mid)
        for end in (-limit, limit):
            before, step = start, (end - start) / STEPS
            if step * end <= 0:
                continue
            towards = MOJO if step > 0 else CPP
            for number in range(1, STEPS + 1):
                here = start + number * step
                if (new := favours(here)) != now and (new == towards or now == OTHER[towards]):
                    turn = _turn(favours, now, before, here)
                    nearest.append(Flip(part, math.exp(turn), favours(turn)))
                    break
                before = here
    return sorted(nearest, key=lambda flip: flip.distance)


def _turn(favours: Callable[[float], str | None], now: str | None, same: float, other: float) -> float:
    """Where between two logarithms the favoured side changes, by halving."""
    for _ in range(HALVINGS):
        middle = (same + other) / 2
        if favours(middle) == now:
            same = middle
        else:
            other = middle
    return other
