"""Equality as a finding: two one-sided tests (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987).

A ratio is equal within a margin when both “it is lower by more” and “it is higher by more” are rejected at 5 %, which
is so when its 90 % interval lies inside the margin.
"""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core.interval import Interval

MARGINS = (0.02, 0.05, 0.10)
"""Shares within which two figures can be called equal, the smallest first."""

LEVEL = 0.90
"""Of the interval that has to lie inside the margin: each of the two tests is at 5 %."""


def equal_within(ratio: Interval, margins: Sequence[float] = MARGINS) -> float | None:
    """The smallest margin that a 90 % interval of a ratio lies in, or None.

    Args:
        ratio: interval at `LEVEL`.
        margins: in increasing order.
    """
    return next((margin for margin in margins if 1 / (1 + margin) < ratio.low and ratio.high < 1 + margin), None)
