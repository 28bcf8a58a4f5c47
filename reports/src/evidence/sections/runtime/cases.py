"""Run time: what a pack's rows say about one case (op, device, dtype, sample, mode), route against route."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from evidence.core.interval import Interval, Spread, interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, DOCUMENTED, MOJO, SIDES, measured_representative, order, side_of
from evidence.core.thresholds import MATTERS, size_class
from evidence.judge.comparison import RUN_TIME, Comparison, corrected
from evidence.sections.runtime.noise import Bands
from evidence.sections.runtime.row import RuntimeRow

SIZE_CLASSES = ("small", "middle", "large")
KERNEL_ALONE = "run time of the kernel alone"
"""Topic of the comparisons of kernels whose outputs are ready."""


@dataclass(frozen=True)
class Cell:
    """One row of the pack's `runtime` section."""

    row: RuntimeRow
    index: int

    @property
    def route(self) -> str:
        """Name of the route."""
        return self.row.route

    @property
    def ok(self) -> bool:
        """True when the row holds a time."""
        return self.row.status == "ok" and self.row.median_us is not None

    @property
    def noisy(self) -> bool:
        """True when the measurement was marked noisy."""
        return self.row.noisy

    @property
    def time(self) -> Interval | None:
        """Microseconds."""
        if not self.ok:
            return None
        return interval(self.row.median_us, self.row.ci_low_us, self.row.ci_high_us)

    @property
    def to_eager(self) -> Interval | None:
        """Time of eager over this time; above 1 = faster than eager."""
        if not self.ok:
            return None
        if self.route == "eager":
            return Interval(1.0, 1.0, 1.0)
        return interval(self.row.ratio_to_eager, self.row.ratio_low, self.row.ratio_high)

    @property
    def to_cpp(self) -> Interval | None:
        """Time of route `cpp` over this time; above 1 = faster than `cpp`."""
        if not self.ok:
            return None
        return interval(self.row.ratio_to_cpp, self.row.ratio_to_cpp_low, self.row.ratio_to_cpp_high)

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
    families: Families | None = field(default=None, repr=False, compare=False)

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

    def representative(self, side: str) -> str | None:
        """The route that represents a side on this case's device, if it has a time."""
        return measured_representative(side, self.passed(side), self.device)

    def pytorch(self) -> str | None:
        """The faster of eager and torch.compile, by median: what a custom op has to beat."""
        timed = [route for route in ("eager", "compile") if route in self.cells and self.cells[route].ok]
        return min(timed, key=lambda route: self.cells[route].row.median_us or math.inf, default=None)

    def must_exceed(self, base: str, route: str) -> float:
        """The factor between two routes from which on one is ahead: beyond the noise band, and one that matters."""
        return max(MATTERS, self.bands.between(self.cells[base].row, self.cells[route].row))

    def documented(self, side: str) -> str | None:
        """The route that the talk or the documentation shows, if it was measured."""
        route = DOCUMENTED[side]
        return route if route in self.passed(side) else None

    def speedup(self, route: str, over: str) -> Interval | None:
        """Time of `over` divided by time of `route`; above 1 = `route` is faster.

        From the measured pairs where the pack has them, else by way of `cpp`, which both were paired with, else from
        the two time intervals; the last two are as wide as both intervals together.
        """
        cell, base = self.cells.get(route), self.cells.get(over)
        if cell is None or base is None or cell.time is None or base.time is None:
            return None
        if route == over:
            return Interval(1.0, 1.0, 1.0)
        ratio, turned = None, None
        if over == "eager":
            ratio = cell.to_eager
        elif route == "eager":
            turned = base.to_eager
        elif over == "cpp":
            ratio = cell.to_cpp
        elif route == "cpp":
            turned = base.to_cpp
        if turned is not None:
            ratio = turned.inverse()
        if ratio is not None:
            return ratio
        if cell.to_cpp is not None and base.to_cpp is not None:
            return cell.to_cpp.over(base.to_cpp)
        return base.time.over(cell.time)

    def noisy(self, *routes: str | None) -> bool:
        """True when one of the routes' rows was marked noisy."""
        return any(self.cells[route].noisy for route in routes if route and route in self.cells)

    def compare(self, base: str, route: str) -> Comparison | None:
        """Two routes of this case, corrected for the cases of its size class; None where one of them has no time."""
        return self.families.compare(self, base, route) if self.families else self.compare_alone(base, route)

    def compare_alone(self, base: str, route: str) -> Comparison | None:
        """Two routes of this case without regard to other cases; None where one of them has no time."""
        ratio = self.speedup(route, base)
        if ratio is None:
            return None
        return Comparison(
            topic=RUN_TIME if self.mode == "call" else KERNEL_ALONE,
            name=self.name,
            base=base,
            route=route,
            ratio=ratio,
            least=self.must_exceed(base, route),
            rows=(self.cells[base].pointer, self.cells[route].pointer),
            noisy=self.noisy(base, route),
            op=self.op,
            device=self.device,
            size_class=self.size_class,
            dof=self.bands.dof(self.cells[base].row, self.cells[route].row),
        )

    def duel(self) -> Comparison | None:
        """The representatives of C++ and Mojo, or None when one side has no time."""
        cpp, mojo = self.representative(CPP), self.representative(MOJO)
        return self.compare(cpp, mojo) if cpp and mojo else None


class Families:
    """The comparisons of two routes on all cases of one mode, device and size class, corrected for their number."""

    def __init__(self, all_cases: Sequence[Case]):
        self.cases = all_cases
        self.known: dict[tuple[str, ...], dict[int, Comparison]] = {}

    def compare(self, case: Case, base: str, route: str) -> Comparison | None:
        """The corrected comparison of a case; None where one of the routes has no time."""
        key = (case.mode, case.device, case.size_class, base, route)
        if key not in self.known:
            of_family = [each for each in self.cases if (each.mode, each.device, each.size_class) == key[:3]]
            pairs = [(id(each), alone) for each in of_family if (alone := each.compare_alone(base, route))]
            compared = corrected(alone for _, alone in pairs)
            self.known[key] = dict(zip((name for name, _ in pairs), compared, strict=True))
        return self.known[key].get(id(case))


def cases(pack: Pack) -> list[Case]:
    """Every case of the pack, by op in pack order, then device, dtype, mode and elements."""
    by_key: dict[tuple[str, str, str, str, str], Case] = {}
    bands = Bands.of(pack)
    every: list[Case] = []
    families = Families(every)
    for index, row in enumerate(pack.table(RuntimeRow)):
        key = (row.op, row.device, row.dtype, row.sample, row.mode)
        if key not in by_key:
            by_key[key] = Case(*key, row.label or row.sample, row.elements, {}, bands, families)
        by_key[key].cells[row.route] = Cell(row, index)
    ops = list(dict.fromkeys(case.op for case in by_key.values()))
    dtypes = list(dict.fromkeys(case.dtype for case in by_key.values()))
    every += sorted(
        by_key.values(),
        key=lambda c: (ops.index(c.op), c.device, dtypes.index(c.dtype), c.mode, c.elements, c.sample),
    )
    return every


def called(all_cases: Iterable[Case], device: str = "cpu") -> list[Case]:
    """The cases of one device as called from Python."""
    return [case for case in all_cases if case.mode == "call" and case.device == device]


def first_dtype(all_cases: Sequence[Case], op: str) -> str | None:
    """The dtype that stands for an op in the pictures: float32, or the first one measured."""
    dtypes = list(dict.fromkeys(case.dtype for case in all_cases if case.op == op))
    return "float32" if "float32" in dtypes else (dtypes[0] if dtypes else None)


@dataclass(frozen=True)
class Headline:
    """A side's representative over a set of cases, against PyTorch.

    Rows are those that both sides' representatives timed, or this side's own where the other has no time at all
    (`shared` is False then). Both means are over the same quiet rows, and None where those are less than half: a mean
    over the few rows that happened to be quiet would speak for the others. `everything` is there for its range.

    Attributes:
        to_eager: speed relative to eager.
        to_pytorch: speed relative to the faster of eager and torch.compile, row by row.
        documented: the route that the documentation shows.
        documented_to_route: its speed relative to the representative, on the rows that timed the documented routes of
            both sides.
    """

    side: str
    route: str | None
    to_eager: Spread | None
    to_pytorch: Spread | None
    everything: Spread | None
    rows: int
    noisy: int
    documented: str | None
    documented_to_route: Spread | None
    shared: bool = True


RouteOf = Callable[[Case], "str | None"]


def _over(chosen: Iterable[Case], route_of: RouteOf, base_of: RouteOf) -> Spread | None:
    """Speed of one route relative to another over cases, where both have a time."""
    ratios = []
    for case in chosen:
        route, base = route_of(case), base_of(case)
        ratio = case.speedup(route, base) if route and base else None
        if ratio is not None:
            ratios.append(ratio.mid)
    return spread(ratios)


def headline(side: str, cases: Sequence[Case]) -> Headline:
    """Representative and documented route of a side over `cases`."""
    timed = [case for case in cases if "eager" in case.cells and case.cells["eager"].ok]
    shared = all(any(case.representative(each) for case in timed) for each in SIDES)
    needed = SIDES if shared else (side,)
    rows = [case for case in timed if all(case.representative(each) for each in needed)]
    quiet = [case for case in rows if not case.noisy("eager", case.pytorch(), *map(case.representative, needed))]
    enough = 2 * len(quiet) >= len(rows)

    shown_by = [each for each in needed if any(case.documented(each) for case in rows)]
    shown = [case for case in rows if all(case.documented(each) for each in shown_by)] if side in shown_by else []
    shown = [
        case for case in shown if not case.noisy(*map(case.documented, shown_by), *map(case.representative, needed))
    ]

    def route_of(case: Case) -> str | None:
        return case.representative(side)

    return Headline(
        side,
        route_of(rows[0]) if rows else None,
        _over(quiet, route_of, lambda case: "eager") if enough else None,
        _over(quiet, route_of, Case.pytorch) if enough else None,
        _over(rows, route_of, lambda case: "eager"),
        len(rows),
        len(rows) - len(quiet),
        DOCUMENTED[side] if shown else None,
        _over(shown, lambda case: case.documented(side), route_of),
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
    overtakes = []
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
                overtakes.append(Crossover(op, device, dtype, route, None, None, "at no measured size"))
                continue
            case = measured[start][0]
            text = f"at every measured size (from {case.sample})" if start == 0 else f"from {case.sample}"
            overtakes.append(Crossover(op, device, dtype, route, case.elements, case.sample, text))
    return overtakes
