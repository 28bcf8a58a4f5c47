"""Which of many figures changed between two runs: those beyond what the runs themselves differ by.

Rows of two runs differ by more than the intervals of their rows say: memory lies elsewhere, another program runs, the
compiler places code differently. As most rows did not change, the spread of all rows shows how much that is: the errors
are scaled by it where it is the larger (an empirical null distribution: Efron, “Large-Scale Simultaneous Hypothesis
Testing”, JASA 99, 2004). Rows are then corrected for their number by Holm's method. What all rows have in common is a
change of its own (`common_shift`), and each row is held against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evidence.core.interval import Interval
from evidence.core.thresholds import CONFIDENCE
from evidence.judge.significance import holm

FEWEST = 8
"""Rows from which on their spread is a measure of the noise between runs."""

DOF = 6
"""Degrees of freedom of the t distribution: rows have a handful of processes, and noise has heavier tails than a normal
distribution."""

LEAST_ERROR = 1e-4
"""Of a logarithm: no row is known better, whatever its interval says."""


@dataclass(frozen=True)
class Shift:
    """How a figure moved from one run to the next.

    Attributes:
        log: logarithm of the figure of the second run over that of the first.
        error: its standard error, from the intervals of both.
    """

    log: float
    error: float

    @classmethod
    def between(cls, before: Interval, after: Interval) -> Shift:
        """From the intervals of both runs, taken as `CONFIDENCE` intervals of a t distribution."""
        halves = (math.log(each.high / each.low) / 2 for each in (before, after))
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, DOF))
        return cls(math.log(after.mid / before.mid), math.hypot(*halves) / quantile)


def beyond_noise(shifts: Sequence[Shift]) -> list[bool]:
    """For each shift whether it is a change beside that of all rows.

    The chance that any row without a change is called one is 5% at most. The scale is a median, which holds while
    fewer than half of the rows changed.
    """
    if not shifts:
        return []
    logs, errors = _arrays(shifts)
    many = len(shifts) >= FEWEST
    away = np.abs(logs - (np.median(logs) if many else 0.0)) / errors
    scale = float(np.median(away)) / float(stats.t.ppf(0.75, DOF)) if many else 1.0
    chances = (2 * stats.t.sf(away / max(scale, 1.0), DOF)).tolist()
    return [chance <= 1 - CONFIDENCE for chance in holm(chances)]


def common_shift(shifts: Mapping[str, Sequence[Shift]]) -> Interval | None:
    """The factor by which all rows moved, as the mean over groups that share a cause of noise, such as ops.

    Args:
        shifts: by group.

    Returns:
        Its `CONFIDENCE` interval (Student's t over the groups), or None for fewer than `FEWEST` groups.
    """
    means = [float(np.median(_arrays(of_group)[0])) for of_group in shifts.values() if of_group]
    if len(means) < FEWEST:
        return None
    middle = float(np.mean(means))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(means) - 1))
    half = quantile * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    return Interval(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def _arrays(shifts: Sequence[Shift]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([shift.log for shift in shifts]),
        np.array([max(shift.error, LEAST_ERROR) for shift in shifts]),
    )
