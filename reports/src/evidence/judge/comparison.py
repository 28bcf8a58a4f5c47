"""Two routes compared on the same rows, which is what criteria, claims, losses and statements read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from evidence.core.interval import NO_DIFFERENCE, Interval
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, representative, side_of
from evidence.core.section import declarations

CPP_AHEAD = "C++ ahead"
MOJO_AHEAD = "Mojo ahead"
MIXED = "mixed"
LEVEL = "level"
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

    @property
    def better(self) -> str | None:
        """The route that is shown to be better by a factor that matters, or None."""
        if self.ratio.above_one and self.ratio.mid >= self.least:
            return self.route
        if self.ratio.below_one and self.ratio.mid <= 1 / self.least:
            return self.base
        return None

    @property
    def won(self) -> str | None:
        """The side of the better route, or None."""
        return side_of(self.better) if self.better else None

    @property
    def decides(self) -> bool:
        """A quiet comparison, or a noisy one whose wide interval still excludes 1.0."""
        return not self.noisy or not self.ratio.holds_one

    @property
    def outcome(self) -> str:
        """The verdict word for C++ as base of Mojo."""
        return ahead(self.ratio, self.least)

    def loses_by(self, side: str) -> Interval | None:
        """The factor, above 1, by which the route of a side is worse; None where it is not."""
        if self.better is None or self.won == side:
            return None
        return self.ratio if self.better == self.route else self.ratio.inverse()


def ahead(ratio: Interval, matters: float) -> str:
    """Who is ahead by a ratio (above 1 = Mojo better): the interval must exclude 1.0 and the factor must matter.

    A difference that is shown but too small to decide anything is `level`.
    """
    if ratio.holds_one:
        return NO_DIFFERENCE
    if 1 / matters < ratio.mid < matters:
        return LEVEL
    return MOJO_AHEAD if ratio.above_one else CPP_AHEAD


def joined(verdicts: Sequence[str | None]) -> str:
    """One verdict from several: a side ahead outweighs `level` and “no difference shown”, contradiction is `mixed`."""
    known = {verdict for verdict in verdicts if verdict and verdict != NOT_MEASURED}
    decided = known - {NO_DIFFERENCE, LEVEL}
    if decided:
        return decided.pop() if len(decided) == 1 else MIXED
    return LEVEL if LEVEL in known else NO_DIFFERENCE if known else NOT_MEASURED


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


def comparisons(pack: Pack) -> list[Comparison]:
    """What every section compares."""
    return [comparison for _, compare in declarations("judge", "compare") for comparison in compare(pack)]
