"""The criteria of a decision: each a factor with its interval, above 1 = Mojo is better, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import NamedTuple

from evidence.core import text
from evidence.core.interval import TOO_CLOSE, Interval
from evidence.core.routes import CPP
from evidence.core.thresholds import BYTES_MATTER, CONFIDENCE, MATTERS
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.declared import declared
from evidence.judge.equivalence import equal_within
from evidence.judge.outcome import equal, unseen
from evidence.judge.scope import Scope


@dataclass(frozen=True)
class Measured:
    """A criterion's factor, the figures behind it, C++ then Mojo, in `unit` (less is better), and a remark.

    `factor` is None where it was not measured; then `message` says why. `equal_within` is the share within which both
    sides were shown to be equal, 0 where a count is the same, and None where that was not shown. `natural` are the
    figures of C++ and of Mojo in words, where they have no unit, and `note` what they are of, such as `of 15`.
    `least` is the factor from which a difference matters, `smallest_effect` the factor that could have been shown with
    a power of 80%, where that is known. `undecided` is what is said where neither difference nor equality is shown.
    """

    factor: Interval | None
    message: str
    rows: tuple[str, ...] = ()
    figures: tuple[float, float] | None = None
    unit: str | None = None
    equal_within: float | None = None
    natural: tuple[str, str] | None = None
    note: str = ""
    least: float = MATTERS
    undecided: str = TOO_CLOSE
    smallest_effect: float | None = None

    @property
    def outcome(self) -> str:
        """What it shows in natural units: `4.8 s against 12.8 s`, `equal within 10%`, `too close to call`."""
        if self.factor is None:
            return NOT_MEASURED
        figures = self._figures(CPP)
        if self.differs:
            return figures
        within, pair = self.shown_equal_within, self._pair()
        if within is None:
            remarks = [figures] if figures else []
            remarks += [unseen(self.smallest_effect)] if self.smallest_effect and self.undecided == TOO_CLOSE else []
            return _with(self.undecided, remarks)
        # 1.56 MB beside 1.68 MB counts as equal and does not read so.
        verdict = equal(within) if within or pair is None or pair[0] == pair[1] else "no difference that matters"
        # The test of equality has an interval of its own, inside the margin: the other one is not printed beside it.
        return _with(verdict, [figures] if pair else [])

    def reason(self, side: str) -> str:
        """Its figures, those of a side first: `4.8 s against 12.8 s`."""
        return self._figures(side)

    def _pair(self) -> tuple[str, str] | None:
        """The figures of C++ and of Mojo in words."""
        if self.figures and self.unit:
            show = UNITS[self.unit]
            return show(self.figures[0]), show(self.figures[1])
        return self.natural

    def _figures(self, first: str) -> str:
        note = f" {self.note}" if self.note else ""
        if pair := self._pair():
            return " against ".join(pair if first == CPP else pair[::-1]) + note
        if self.factor is None:
            return ""
        if not self.differs:
            return f"Mojo {text.percents(self.factor)}{note}"
        factor = self.factor if self.factor.above_one else self.factor.inverse()
        return f"{text.factor(factor.mid)}, {text.short(factor.low)} to {text.short(factor.high)}{note}"

    @property
    def differs(self) -> bool:
        """True when the interval excludes 1.0 and the factor matters."""
        factor = self.factor
        return factor is not None and not factor.holds_one and not 1 / self.least < factor.mid < self.least

    @property
    def shown_equal_within(self) -> float | None:
        """The share within which both sides were shown to be equal, 0 for counts that are the same, or None.

        A criterion that does not test its equality has it where the whole interval lies inside a margin.
        """
        if self.equal_within is not None or self.factor is None:
            return self.equal_within
        return equal_within(self.factor)

    @property
    def equal(self) -> bool:
        """True when both sides were shown to be equal, and not to differ by what matters."""
        return not self.differs and self.shown_equal_within is not None

    @property
    def decided(self) -> bool:
        """True when a difference or equality was shown."""
        return self.differs or self.equal


UNITS: dict[str, Callable[[float], str]] = {
    "us": text.micros,
    "s": text.seconds,
    "B": text.size,
    "tokens": lambda count: f"{text.thousands(count)} tokens",
}
"""Unit of figures -> how one is written."""


def _with(verdict: str, remarks: Sequence[str]) -> str:
    return f"{verdict} ({'; '.join(remarks)})" if remarks else verdict


class Criterion(NamedTuple):
    """A criterion: its key in `reports/weights.toml`, its place and its name in tables, and how it is read."""

    id: str
    order: int
    name: str
    measure: Callable[[Scope], Measured]


def criteria() -> dict[str, Criterion]:
    """id -> criterion of every section, in the order of the tables."""
    return declared("CRITERIA", Criterion)


def measure(name: str, scope: Scope) -> tuple[str, Measured]:
    """Name in tables and value of a criterion; one that no section declares is not measured."""
    criterion = criteria().get(name)
    if criterion is None:
        return name, absent("no section of this release measures it")
    return criterion.name, criterion.measure(scope)


def absent(reason: str) -> Measured:
    """A criterion that was not measured."""
    return Measured(None, reason)


def half_width(ratio: Interval) -> float:
    """The wider side of an interval, in logarithms."""
    return max(math.log(ratio.high / ratio.mid), math.log(ratio.mid / ratio.low))


def around(log_mid: float, half: float) -> Interval:
    """The interval whose logarithm is `log_mid` plus or minus `half`."""
    return Interval(math.exp(log_mid), math.exp(log_mid - half), math.exp(log_mid + half))


def exact(value: float) -> Interval:
    """An interval without width."""
    return Interval(value, value, value)


def of_bytes(sizes: tuple[int, int], routes: Sequence[str], what: str, rows: Sequence[str], note: str = "") -> Measured:
    """Bytes on top of PyTorch, of C++ and of Mojo; a difference that nobody notices beside PyTorch counts as none."""
    cpp, mojo = sizes
    message = f"{what}, on top of PyTorch: {routes[0]} {text.size(cpp)}, {routes[1]} {text.size(mojo)}"
    factor = cpp / mojo
    if abs(cpp - mojo) < BYTES_MATTER:
        message += f"; less than {text.size(BYTES_MATTER)} apart counts as equal"
        factor = 1.0
    return Measured(exact(factor), message + note, tuple(rows), sizes, "B")


def of_counts(counts: Mapping[str, tuple[int, int]], rows: Sequence[str], note: str = "") -> Measured:
    """Geometric mean of the ratios of several counts; the interval is their range, since they mean the same thing."""
    logs = [math.log(cpp / mojo) for cpp, mojo in counts.values()]
    factor = Interval(math.exp(fmean(logs)), math.exp(min(logs)), math.exp(max(logs)))
    message = ", ".join(f"{name} {cpp:,} to {mojo:,}" for name, (cpp, mojo) in counts.items())
    return Measured(factor, message + note, tuple(rows), undecided="the counts disagree")


def share_ratio(cpp: int, mojo: int, of: int) -> Interval:
    """Share `mojo`/`of` over share `cpp`/`of` with Katz's logarithmic interval for a ratio of two shares.

    `scipy.stats.contingency.relative_risk` gives the same, but has no interval where a count is 0: half a case is added
    to each count there, the usual correction. Source: D. Katz et al., Biometrics 34 (1978) 469.
    """
    add = 0.0 if cpp and mojo else 0.5
    a, b, n = mojo + add, cpp + add, of + 2 * add
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(max(0.0, 1 / a - 1 / n + 1 / b - 1 / n))
    return around(math.log(a / b), half)


def of_shares(counts: tuple[int, int], of: int, message: str, rows: tuple[str, ...]) -> Measured:
    """What works of a list that both sides were tried on: equal where as much works, else known to one entry."""
    cpp, mojo = counts
    same = 0.0 if cpp == mojo else None
    natural = (str(cpp), str(mojo))
    return Measured(give_or_take(cpp, mojo, of), message, rows, equal_within=same, natural=natural, note=f"of {of}")


def give_or_take(cpp: int, mojo: int, of: int) -> Interval:
    """Share `mojo`/`of` over share `cpp`/`of`, each known to one entry: what one outcome that changes can do.

    (k + 1) / (n + 2) keeps a share of none or of all finite.
    """

    def share(count: int) -> float:
        return (min(max(count, 0), of) + 1) / (of + 2)

    changes = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    ratios = [share(mojo + more) / share(cpp + less) for less, more in changes]
    return Interval(ratios[0], min(ratios), max(ratios))
