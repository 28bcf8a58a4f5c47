"""What an interval of a ratio says about chance: p-values, their correction for many rows, and the power of a row.

Rows carry intervals and no p-values, so these are derived: the half width in logarithms is a quantile of Student's t
times the standard error. Where rows ran in several processes, interval and degrees of freedom are those of the
moderated t of `core/between.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import stdtr, stdtrit

from evidence.core.interval import Interval
from evidence.core.thresholds import CONFIDENCE, POWER

INTERVAL_DOF = 6.0
"""Degrees of freedom of an interval whose source names none: few repeats, with heavier tails than a normal's."""


def quantile(chance: float, dof: float) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(dof, chance))


def standard_error(half: float, dof: float) -> float:
    """Standard error of a logarithm whose `CONFIDENCE` interval is `half` wide on a side."""
    return half / quantile((1 + CONFIDENCE) / 2, dof)


def chance(ratio: Interval, dof: float) -> float:
    """Two-sided p-value of “the ratio is 1”, from its `CONFIDENCE` interval: below 5% when that excludes 1.0.

    The side of the interval that points to 1.0 gives the standard error. A ratio without width is known exactly.
    """
    distance = abs(math.log(ratio.mid))
    half = math.log(ratio.mid / ratio.low) if ratio.mid > 1 else math.log(ratio.high / ratio.mid)
    if half <= 0 or distance == 0:
        return 0.0 if distance else 1.0
    return 2 * float(stdtr(dof, -distance / standard_error(half, dof)))


def holm(chances: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down method (Scandinavian Journal of Statistics 6, 1979).

    Rejecting those at or below a level rejects any true hypothesis with at most that chance, however the rows depend
    on each other.
    """
    adjusted = [1.0] * len(chances)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = highest
    return adjusted


def smallest_effect(half: float, dof: float, least: float, rows: int = 1) -> float:
    """The smallest factor, above 1, that would be shown as a difference with a chance of `POWER`.

    exp(max(ln least, t(1 - 0.05 / 2 rows) s) + t(0.8) s) with the standard error s and Student's t. The sum of the two
    quantiles is the minimum detectable effect of Bloom, “Minimum Detectable Effects”, Evaluation Review 19 (1995); the
    maximum is there because a difference must also reach `least`.

    Args:
        half: half width of the `CONFIDENCE` interval, in logarithms.
        dof: degrees of freedom of that interval.
        least: factor from which a difference matters.
        rows: that the p-value is corrected for; Holm's correction is at most the one by all of them.
    """
    error = standard_error(half, dof)
    critical = quantile(1 - (1 - CONFIDENCE) / (2 * rows), dof) * error
    return math.exp(min(300.0, max(math.log(least), critical) + quantile(POWER, dof) * error))
