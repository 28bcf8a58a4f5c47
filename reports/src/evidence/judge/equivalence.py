"""Equality as a finding: two one-sided tests (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987).

A ratio is equal within a margin when both “it is lower by more” and “it is higher by more” are rejected at 5%, which
is so when its 90% interval lies inside the margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evidence.core.interval import Interval
from evidence.core.thresholds import CONFIDENCE, EQUAL_MARGINS
from evidence.judge.significance import quantile

LEVEL = 2 * CONFIDENCE - 1
"""Of the interval that has to lie inside the margin: each of the two tests is at 5%."""


def equal_within(ratio: Interval, margins: Sequence[float] = EQUAL_MARGINS) -> float | None:
    """The smallest margin that a 90% interval of a ratio lies in, 0 where it is exactly 1, or None.

    Args:
        ratio: interval at `LEVEL`.
        margins: in increasing order.
    """
    if ratio.low == ratio.high == 1:
        return 0.0
    return next((margin for margin in margins if 1 / (1 + margin) < ratio.low and ratio.high < 1 + margin), None)


def narrowed(ratio: Interval, dof: float) -> Interval:
    """The interval at `LEVEL` of a ratio whose interval is at `CONFIDENCE`."""
    share = quantile((1 + LEVEL) / 2, dof) / quantile((1 + CONFIDENCE) / 2, dof)
    low, high = (ratio.mid * math.exp(share * math.log(end / ratio.mid)) for end in (ratio.low, ratio.high))
    return Interval(ratio.mid, low, high)
