"""Run time: what a pack's rows say about one case (op, device, dtype, sample, mode), route against route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evidence.analyse.noise import Bands
from evidence.analyse.numbers import Interval, Spread, interval, spread
from evidence.analyse.routes import CPP, DOCUMENTED, MOJO, PRIMARY, order, side_of
from evidence.analyse.thresholds import MATTERS, size_class
from evidence.pack import Pack, Row

SIZE_CLASSES = ("small", "middle", "large")


@dataclass(frozen=True)
class Cell:
    """One row of the pack's `runtime` section."""

    row: Row
    index: int

    @property
    def route(self) -> str:
        """Name of the route."""
        return str(self.row["route"])

    @property
    def ok(self) -> bool:
        """True when the row holds a time."""
        return self.row["status"] == "ok" and self.row["median_us"] is not None

    @property
    def noisy(self) -> bool:
        """True when the measurement was marked noisy."""
        return bool(self.row["noisy"])

    @property
    def time(self) -> Interval | None:
        """Microseconds."""
        if not self.ok:
            return None
        return interval(self.row["median_us"], self.row["ci_low_us"], self.row["ci_high_us"])

    @property
    def to_eager(self) -> Interval | None:
        """Time of eager over this time; above 1 = faster than eager."""
        if not self.ok:
            return None
        if self.route == "eager":
            return Interval(1.0, 1.0, 1.0)
        return interval(self.row["ratio_to_eager"], self.row["ratio_low"], self.row["ratio_high"])

    @property
    def to_cpp(self) -> Interval | None:
        """Time of route `cpp` over this time; above 1 = faster than `cpp`."""
        if not self.ok:
            return None
        return interval(self.row["ratio_to_cpp"], self.row["ratio_to_cpp_low"], self.row["ratio_to_cpp_high"])

    @property
    def pointer(self) -> str:
        """Where the row stands in the pack."""
        return f"/runtime/rows/{self.index}"


@dataclass(frozen=True)
class Case:
    """All routes of one op, device, dtype, sample and mode."""

    op: str
    device: str
    dtype: str
    sample: str
    mode: str
    label: str
    elements: int
    cells: dict[str, Cell]
    bands: Bands = field(default_factory=lambda: Bands({}))

    @property
    def size_class(self) -> str:
        """`small`, `middle` or `large`, by elements."""
        return size_class(self.elements)

    @property
    def name(self) -> str:
        """`op, sample, dtype` for texts."""
        return f"{self.op} {self.sample} {self.dtype}"

    def passed(self, side: str) -> list[str]:
        """Routes of a side that hold a time, in report order."""
        return sorted((r for r, cell in self.cells.items() if cell.ok and side_of(r) == side), key=order)

    def best(self, side: str) -> str | None:
        """The side's fastest route, by name.

        The side's primary route keeps the place unless another one is shown to be faster by a factor that matters and
        that the spread between processes cannot produce: among routes that are level the smallest median is luck, and
        picking it would flatter the side with more routes.
        """
        routes = self.passed(side)
        if not routes:
            return None
        fastest = min(routes, key=lambda route: self.cells[route].row["median_us"])
        primary = PRIMARY[side]
        gain = self.speedup(fastest, primary) if primary in routes else None
        return primary if gain and not (gain.above_one and gain.mid >= self.must_exceed(fastest, primary)) else fastest

    def must_exceed(self, one: str, two: str) -> float:
        """The factor between two routes from which on one is ahead: beyond the noise band, and one that matters."""
        return max(MATTERS, self.bands.between(self.cells[one].row, self.cells[two].row))

    def documented(self, side: str) -> str | None:
        """The route that the talk or the documentation shows, if it was measured."""
        return next((route for route in DOCUMENTED[side] if route in self.passed(side)), None)

    def speedup(self, route: str, over: str) -> Interval | None:
        """Time of `over` divided by time of `route`; above 1 = `route` is faster.

        From the measured pairs where the pack has them, else by way of `cpp`, which both were paired with, else from
        the two time intervals; the last two are as wide as both intervals together.
        """
        one, two = self.cells.get(route), self.cells.get(over)
        if one is None or two is None or one.time is None or two.time is None:
            return None
        if route == over:
            return Interval(1.0, 1.0, 1.0)
        ratio, turned = None, None
        if over == "eager":
            ratio = one.to_eager
        elif route == "eager":
            turned = two.to_eager
        elif over == "cpp":
            ratio = one.to_cpp
        elif route == "cpp":
            turned = two.to_cpp
        if turned is not None:
            ratio = turned.inverse()
        if ratio is not None:
            return ratio
        if one.to_cpp is not None and two.to_cpp is not None:
            return one.to_cpp.over(two.to_cpp)
        return two.time.over(one.time)

    def noisy(self, *routes: str) -> bool:
        """True when one of the routes' rows was marked noisy."""
        return any(self.cells[route].noisy for route in routes if route in self.cells)

    def duel(self) -> Duel | None:
        """Best Mojo route against best C++ route, or None when one side has no time."""
        cpp, mojo = self.best(CPP), self.best(MOJO)
        if cpp is None or mojo is None:
            return None
        ratio = self.speedup(mojo, cpp)
        return None if ratio is None else Duel(self, cpp, mojo, ratio, self.noisy(cpp, mojo))


@dataclass(frozen=True)
class Duel:
    """Best Mojo route against best C++ route on one case; `ratio` above 1 = Mojo is faster."""

    case: Case
    cpp: str
    mojo: str
    ratio: Interval
    noisy: bool

    @property
    def decides(self) -> bool:
        """A quiet row, or a noisy one whose wide interval still excludes 1.0."""
        return not self.noisy or not self.ratio.holds_one

    @property
    def won(self) -> str | None:
        """The side that wins the row, or None: its interval excludes 1.0, and its ratio is beyond band and MATTERS."""
        least = self.case.must_exceed(self.mojo, self.cpp)
        if self.ratio.above_one and self.ratio.mid >= least:
            return MOJO
        if self.ratio.below_one and self.ratio.mid <= 1 / least:
            return CPP
        return None

    @property
    def pointers(self) -> list[str]:
        """The two rows it stands on."""
        return [self.case.cells[route].pointer for route in (self.cpp, self.mojo)]


def cases(pack: Pack) -> list[Case]:
    """Every case of the pack, by op in pack order, then device, dtype, mode and elements."""
    found: dict[tuple[str, str, str, str, str], Case] = {}
    bands = Bands.of(pack)
    for index, row in enumerate(pack.rows("runtime")):
        key = (row["op"], row["device"], row["dtype"], row["sample"], row["mode"])
        if key not in found:
            found[key] = Case(
                *key, label=row.get("label") or row["sample"], elements=row["elements"], cells={}, bands=bands
            )
        found[key].cells[row["route"]] = Cell(row, index)
    ops = list(dict.fromkeys(case.op for case in found.values()))
    dtypes = list(dict.fromkeys(case.dtype for case in found.values()))
    return sorted(
        found.values(),
        key=lambda c: (ops.index(c.op), c.device, dtypes.index(c.dtype), c.mode, c.elements, c.sample),
    )


def called(all_cases: Iterable[Case], device: str = "cpu") -> list[Case]:
    """The cases of one device as called from Python."""
    return [case for case in all_cases if case.mode == "call" and case.device == device]


def first_dtype(all_cases: Sequence[Case], op: str) -> str | None:
    """The dtype that stands for an op in the pictures: float32, or the first one measured."""
    dtypes = list(dict.fromkeys(case.dtype for case in all_cases if case.op == op))
    return "float32" if "float32" in dtypes else (dtypes[0] if dtypes else None)


@dataclass(frozen=True)
class Headline:
    """A side's best route over a set of cases, against eager.

    `to_eager` is the mean over the rows that are quiet for both sides, so that both sides' means stand over the same
    rows (`shared`); None where they are less than half of all: a mean over the few rows that happened to be quiet would
    speak for the others. Where the other side has no time at all, this side's own quiet rows count. `everything` is
    there for its range.
    """

    side: str
    routes: tuple[str, ...]
    to_eager: Spread | None
    everything: Spread | None
    slower: int
    level: int
    faster: int
    noisy: int
    documented: str | None
    documented_to_eager: Spread | None
    shared: bool = True


def quiet_to_eager(case: Case, side: str) -> Interval | None:
    """The side's best route against eager, or None where there is none or one of the two rows is noisy."""
    best = case.best(side)
    return None if best is None or case.noisy(best, "eager") else case.speedup(best, "eager")


def headline(side: str, some: Sequence[Case]) -> Headline:
    """Best and documented route of a side against eager over `some` cases."""
    other = MOJO if side == CPP else CPP
    shared = any(case.best(other) is not None for case in some)
    ratios: list[Interval] = []
    everything: list[float] = []
    shown: list[float] = []
    names: list[str] = []
    documented_names: list[str] = []
    noisy = of_both = 0
    for case in some:
        documented = case.documented(side)
        if documented is not None and not case.noisy(documented, "eager"):
            ratio = case.speedup(documented, "eager")
            if ratio is not None:
                documented_names.append(documented)
                shown.append(ratio.mid)
        best = case.best(side)
        ratio = case.speedup(best, "eager") if best else None
        if best is None or ratio is None:
            continue
        names.append(best)
        everything.append(ratio.mid)
        has_other = case.best(other) is not None
        of_both += has_other or not shared
        if case.noisy(best, "eager"):
            noisy += 1
        elif not shared or quiet_to_eager(case, other) is not None:
            ratios.append(ratio)
    return Headline(
        side,
        tuple(sorted(set(names), key=order)),
        spread(ratio.mid for ratio in ratios) if ratios and 2 * len(ratios) >= of_both else None,
        spread(everything),
        sum(ratio.below_one for ratio in ratios),
        sum(ratio.holds_one for ratio in ratios),
        sum(ratio.above_one for ratio in ratios),
        noisy,
        documented_names[0] if documented_names else None,
        spread(shown),
        shared,
    )


@dataclass(frozen=True)
class Crossover:
    """The smallest measured size from which a route is faster than eager, up to the largest one."""

    op: str
    device: str
    dtype: str
    route: str
    elements: int | None
    sample: str | None
    text: str


def crossovers(all_cases: Sequence[Case]) -> list[Crossover]:
    """For each op, device, dtype and route, as called: where the route overtakes eager.

    A size counts only with every larger one: a route that wins at one size and loses at the next has not overtaken.
    """
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for case in all_cases:
        if case.mode == "call":
            groups.setdefault((case.op, case.device, case.dtype), []).append(case)
    found = []
    for (op, device, dtype), group in groups.items():
        group = sorted(group, key=lambda case: case.elements)
        for route in sorted({r for case in group for r in case.cells if r != "eager"}, key=order):
            measured = [(case, ratio) for case in group if (ratio := case.speedup(route, "eager")) is not None]
            if not measured:
                continue
            start = len(measured)
            while start and measured[start - 1][1].above_one:
                start -= 1
            if start == len(measured):
                found.append(Crossover(op, device, dtype, route, None, None, "at no measured size"))
                continue
            case = measured[start][0]
            text = f"at every measured size (from {case.sample})" if start == 0 else f"from {case.sample}"
            found.append(Crossover(op, device, dtype, route, case.elements, case.sample, text))
    return found
