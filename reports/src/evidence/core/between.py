"""The spread between fresh processes: what one row shows, what rows of its kind share, and what that does to intervals.

Within a process a ratio can be read to a percent; another process, with other pages, addresses and thread placement,
reads another ratio. Three processes say little about their own spread (2 degrees of freedom: a t factor of 4.3), so
rows of the same kind lend each other theirs, as genes do in limma: a row's variance is drawn towards the prior of its
kind, s² = (d0 s0² + d s_own²) / (d0 + d) with d0 + d degrees of freedom (Smyth 2004, “Linear models and empirical Bayes
methods for assessing differential expression”, equation 6). Prior and degrees of freedom are fitted from the rows, with
the tails winsorised (Phipson and others 2016), so that a few bad rows neither widen the others nor hide among them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from evidence.core.interval import Interval
from evidence.core.sampling import LEVEL

NOISY_LEVEL = 1e-3  # a row is noisy when fewer rows than this share would vary so much by chance: one in a full run
LEAST_ROWS = 6  # rows that a prior is fitted from; with fewer, a wider kind lends it
TAILS = (0.05, 0.15)  # winsorised shares, low and high
MOST_DOF = 200.0  # beyond, t and F no longer change
# What changes between runs (the host's neighbours, the day) no single run can see. It is allowed for as this share of
# the variance between processes: in simulation two runs' intervals then overlap in 95 % of rows and more, also where a
# whole run drifts by as much as its processes differ (reports/tests/core/test_noise.py).
RUN_SHARE = 0.75


@dataclass(frozen=True)
class Kind:
    """What rows must have in common to share a spread. `base` is `eager`, `cpp`, or `time` for the time itself."""

    route: str
    base: str
    mode: str
    size_class: str


POOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("this route, base, mode and size class", ("route", "base", "mode", "size_class")),
    ("this route, base and mode", ("route", "base", "mode")),
    ("this route and base", ("route", "base")),
    ("all routes of this base, mode and size class", ("base", "mode", "size_class")),
    ("all rows of this base", ("base",)),
)


@dataclass(frozen=True)
class Prior:
    """Spread of ln(ratio) between processes that `rows` rows of a kind share.

    sd, dof: what a row is drawn towards, and how many degrees of freedom that is worth: few where rows differ.
    pooled, pooled_dof: root of the rows' mean variance, for statements about the kind as a whole.
    over: which rows these are.
    """

    sd: float
    dof: float
    rows: int
    pooled: float
    pooled_dof: float
    over: str = ""


def fit(variances: Sequence[float], dof: int) -> Prior | None:
    """The prior of rows whose own variances, with `dof` degrees of freedom each, are given; None below `LEAST_ROWS`.

    Under the model s²/s0² follows F(dof, d0). d0 is where the winsorised variance of ln F's expected order statistics
    meets that of ln s², s0² makes the winsorised means meet. It is never worth more than all rows together.
    """
    values = np.asarray(variances, dtype=float)
    if len(values) < LEAST_ROWS or dof < 1 or not np.any(values > 0):
        return None
    values = np.maximum(values, 1e-4 * np.median(values[values > 0]))  # equal medians of coarse times
    logs = _winsorised(np.sort(np.log(values)))
    points = (np.arange(len(values)) + 0.5) / len(values)

    def expected(log_d0: float) -> np.ndarray:
        return _winsorised(np.log(stats.f.ppf(points, dof, math.exp(log_d0))))

    low, high = math.log(1.0), math.log(MOST_DOF)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle).var() > logs.var() else (low, middle)
    variance = math.exp(logs.mean() - expected(low).mean())
    whole = float(len(values) * dof)
    pooled = math.sqrt(float(np.exp(logs).mean()))
    return Prior(math.sqrt(variance), min(math.exp(low), whole), len(values), pooled, whole)


def _winsorised(ordered: np.ndarray) -> np.ndarray:
    below, above = (math.ceil(share * len(ordered)) for share in TAILS)
    return np.clip(ordered, ordered[below], ordered[len(ordered) - 1 - above])


def run_error(count: int) -> float:
    """Standard error of a run's median over `count` processes of unit sd, drift between runs (`RUN_SHARE`) included.

    The median's own variance is pi / (2 (count - 1) + pi) (Hodges and Lehmann 1967, for odd counts).
    """
    return math.sqrt(math.pi / (2 * (count - 1) + math.pi) + RUN_SHARE)


@dataclass(frozen=True)
class Shown:
    """What several processes show of one row: the interval of its median, its own sd, and why it is noisy, if it is."""

    interval: Interval
    own: float | None
    noisy: str | None


class Between:
    """The spreads of one run's rows, by kind.

    `logs`: of every row, its kind and the natural logarithms of its processes' medians.
    """

    def __init__(self, logs: Iterable[tuple[Kind, Sequence[float]]]):
        self.rows: dict[Kind, list[tuple[float, int]]] = defaultdict(list)
        for kind, values in logs:
            if len(values) > 1:
                self.rows[kind].append((float(np.var(values, ddof=1)), len(values) - 1))
        self.priors: dict[Kind, Prior | None] = {}

    def prior(self, kind: Kind) -> Prior | None:
        """The narrowest pool that holds enough rows; None where the run has too few altogether."""
        if kind not in self.priors:
            self.priors[kind] = self._pooled(kind)
        return self.priors[kind]

    def _pooled(self, kind: Kind) -> Prior | None:
        for over, names in POOLS:
            pool = [
                entry
                for other, entries in self.rows.items()
                if all(getattr(other, name) == getattr(kind, name) for name in names)
                for entry in entries
            ]
            if not pool:
                continue
            usual = max({dof for _, dof in pool}, key=[dof for _, dof in pool].count)
            if prior := fit([variance for variance, dof in pool if dof == usual], usual):
                return replace(prior, over=over)
        return None

    def show(self, kind: Kind, within: Interval, logs: Sequence[float]) -> Shown:
        """A row's interval: that of its rounds, and a moderated t interval of its processes' medians, united.

        Args:
            kind: of the row.
            within: over the rounds of all its processes.
            logs: logarithms of its processes' medians.
        """
        middle = float(np.median(logs))
        if len(logs) < 2:
            only = math.exp(middle)
            interval = Interval(only, min(within.low, only), max(within.high, only))
            return Shown(interval, None, "one process: the spread between processes is not known")
        dof = len(logs) - 1
        variance = float(np.var(logs, ddof=1))
        prior = self.prior(kind)
        noisy = None
        used, worth = variance, float(dof)
        if prior is not None:
            chance = float(stats.f.sf(variance / prior.sd**2, dof, prior.dof))
            if chance < NOISY_LEVEL:
                # Its own spread alone speaks: the others' would make it look quieter than it was.
                noisy = (
                    f"{_base(kind)} varies by {math.sqrt(variance):.1%} between {len(logs)} processes (sd), where "
                    f"{prior.sd:.1%} is usual for {prior.rows} rows of its kind; chance gives that in fewer than 1 of "
                    f"{1 / NOISY_LEVEL:.0f} rows"
                )
            else:
                worth = prior.dof + dof
                used = (prior.dof * prior.sd**2 + dof * variance) / worth
        half = float(stats.t.ppf((1 + LEVEL) / 2, worth)) * math.sqrt(used) * run_error(len(logs))
        low, high = (_exp(middle - half), _exp(middle + half))
        interval = Interval(math.exp(middle), min(within.low, low), max(within.high, high))
        return Shown(interval, math.sqrt(variance), noisy)

    def band(self, kind: Kind, processes: int) -> float | None:
        """The factor within which a run's ratio stays where the true one is 1, at `LEVEL`, on a row that is usual."""
        prior = self.prior(kind)
        if prior is None:
            return None
        return _exp(float(stats.t.ppf((1 + LEVEL) / 2, prior.pooled_dof)) * prior.pooled * run_error(processes))


def _base(kind: Kind) -> str:
    return "its time" if kind.base == "time" else f"its ratio to {kind.base}"


def _exp(value: float) -> float:
    return math.exp(max(-300.0, min(value, 300.0)))  # two processes that disagree by far give t intervals without end
