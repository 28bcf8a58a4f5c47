"""Two routes compared on the same rows, which is what criteria, claims, losses and statements read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeVar

from evidence.core.interval import TOO_CLOSE, Interval
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, representative, side_of
from evidence.core.section import declarations
from evidence.core.thresholds import CONFIDENCE, EQUAL_MARGINS
from evidence.judge import outcome
from evidence.judge.equivalence import equal_within, narrowed
from evidence.judge.significance import INTERVAL_DOF, chance, holm, smallest_effect

CPP_AHEAD = "C++ ahead"
MOJO_AHEAD = "Mojo ahead"
MIXED = "mixed"
EQUAL = "equal"
NOT_MEASURED: Final = "not measured here"

RUN_TIME, BUILD_TIME = "run time", "build time"
"""Topics that other sections read too."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A route against a base on the same rows; a `ratio` above 1 says that the route is better.

    Attributes:
        topic: what is compared, such as `build time`.
        name: what of that topic, such as `edit`, or a case.
        base, route: what is compared; C++'s representative is the base of Mojo's.
        ratio: cost of the base over cost of the route.
        least: the factor from which a difference matters.
        rows: pointers to the rows of the base and of the route.
        noisy: whether one of the measurements was marked noisy.
        figures: the costs of base and route in `unit` (`us`, `s`, `B`), where the ratio is made of them.
        op, device, size_class: of the case, for topics that have cases.
        dof: degrees of freedom of the interval of `ratio`.
        margins: shares within which the two can be called equal, in increasing order.
        family: rows that were tested together and that p-values are corrected for.
        adjusted: the corrected p-value of “the ratio is 1”; None for a comparison that stands alone.
    """

    topic: str
    name: str
    base: str
    route: str
    ratio: Interval
    least: float
    rows: tuple[str, ...]
    noisy: bool = False
    figures: tuple[float, float] | None = None
    unit: str | None = None
    op: str = ""
    device: str = "cpu"
    size_class: str = ""
    dof: float = INTERVAL_DOF
    margins: tuple[float, ...] = EQUAL_MARGINS
    family: int = 1
    adjusted: float | None = None

    @property
    def better_alone(self) -> str | None:
        """The route that is better by a factor that matters if no other row is looked at, or None."""
        if self.ratio.above_one and self.ratio.mid >= self.least:
            return self.route
        if self.ratio.below_one and self.ratio.mid <= 1 / self.least:
            return self.base
        return None

    @property
    def better(self) -> str | None:
        """The route that is shown to be better by a factor that matters, corrected for the number of rows, or None."""
        if self.adjusted is not None and self.adjusted > 1 - CONFIDENCE:
            return None
        return self.better_alone

    @property
    def won(self) -> str | None:
        """The side of the better route, or None."""
        return side_of(self.better) if self.better else None

    @property
    def decides(self) -> bool:
        """A quiet comparison, or a noisy one whose wide interval still excludes 1.0."""
        return not self.noisy or not self.ratio.holds_one

    @cached_property
    def equal_within(self) -> float | None:
        """The smallest of the margins within which the two are shown to be equal, 0 for equal counts, or None.

        Two figures that are known exactly are equal within a margin when they differ by less.
        """
        return equal_within(narrowed(self.ratio, self.dof), self.margins)

    @cached_property
    def smallest_effect(self) -> float:
        """The smallest factor, above 1, that this row could have shown with a power of 80%, correction included."""
        return self._smallest_effect(self.family)

    @cached_property
    def smallest_effect_alone(self) -> float:
        """The same if no other row is looked at."""
        return self._smallest_effect(1)

    def _smallest_effect(self, family: int) -> float:
        half = max(math.log(self.ratio.high / self.ratio.mid), math.log(self.ratio.mid / self.ratio.low))
        return smallest_effect(half, self.dof, self.least, family)

    @property
    def verdict(self) -> str:
        """The outcome in a fixed word, for C++ as base of Mojo."""
        if self.better is not None:
            return MOJO_AHEAD if self.better == self.route else CPP_AHEAD
        return TOO_CLOSE if self.equal_within is None else EQUAL

    @property
    def outcome(self) -> str:
        """`Mojo better by 1.30×`, `equal within 5%`, or what was too small to be seen."""
        if self.better is not None:
            return outcome.better_by(self.better, max(self.ratio.mid, 1 / self.ratio.mid))
        if self.equal_within is not None:
            return outcome.equal(self.equal_within)
        return outcome.too_close(self.smallest_effect)

    def loses_by(self, side: str) -> Interval | None:
        """The factor, above 1, by which the route of a side is worse; None where it is not."""
        if self.better is None or self.won == side:
            return None
        return self.ratio if self.better == self.route else self.ratio.inverse()


def joined(verdicts: Sequence[str | None]) -> str:
    """A verdict from several: a side ahead outweighs equal and too close, which equal does; contradiction is `mixed`.

    Not all are equal where a comparison is too close to call.
    """
    known = {verdict for verdict in verdicts if verdict and verdict != NOT_MEASURED}
    decided = known - {TOO_CLOSE, EQUAL}
    if decided:
        return decided.pop() if len(decided) == 1 else MIXED
    return TOO_CLOSE if TOO_CLOSE in known else EQUAL if known else NOT_MEASURED


def pair(measured: Iterable[str], device: str = "cpu") -> tuple[str, str] | None:
    """The routes that represent C++ and Mojo on a device; None when one of them was not measured."""
    routes = representative(CPP, device), representative(MOJO, device)
    return routes if set(routes) <= set(measured) else None


def pairs(measured: Iterable[str]) -> list[tuple[str, str]]:
    """The routes that represent C++ and Mojo on the CPU, and those on a GPU, as far as both were measured."""
    known = set(measured)
    on_devices = (pair(known, device) for device in ("cpu", "cuda"))
    return list(dict.fromkeys(routes for routes in on_devices if routes))


C = TypeVar("C", bound=Comparison)


def select(comparisons: Iterable[C], topic: str, name: str, device: str = "cpu") -> C | None:
    """The comparison of a topic and name between the routes that represent the sides on a device."""
    routes = (representative(CPP, device), representative(MOJO, device))
    chosen = (c for c in comparisons if (c.topic, c.name) == (topic, name) and (c.base, c.route) == routes)
    return next(chosen, None)


def corrected(compared: Iterable[C]) -> list[C]:
    """Comparisons with p-values corrected by Holm's method for the rows of their topic, route, device and size class.

    The p-values are derived from the intervals. Ratios that are known exactly are facts and are not tested.
    """
    result = list(compared)
    families: dict[tuple[str, ...], list[int]] = {}
    for index, each in enumerate(result):
        if each.ratio.low < each.ratio.high:
            families.setdefault((each.topic, each.route, each.device, each.size_class), []).append(index)
    for family in families.values():
        chances = holm([chance(result[index].ratio, result[index].dof) for index in family])
        for index, adjusted in zip(family, chances, strict=True):
            result[index] = replace(result[index], family=len(family), adjusted=adjusted)
    return result


def comparisons(pack: Pack) -> list[Comparison]:
    """What every section compares."""
    return [comparison for _, compare in declarations("judge", "compare") for comparison in compare(pack)]
