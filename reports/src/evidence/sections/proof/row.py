"""Rows of the table `proof`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from evidence.core.row import Amount, Count, Positive


class ProofRow(Struct, frozen=True, kw_only=True):
    """A route timed against itself under a second name, as two routes are in the run-time rows.

    Attributes:
        nominal: extra work that the second name was to have, as a share of the call's time; 0 is an A/A comparison.
        added_us: time of that work, measured separately in the same processes; 0 for A/A.
        planted: the true ratio that this gives, below 1; 1 for A/A.
        ratio, ratio_low, ratio_high: time of the call over time of its second name: median by round, and interval.
        median_us: time of the call alone.
        between: standard deviation between processes of the logarithm of the ratio.
        band: factor that a ratio must exceed to be told apart from 1 in a single row.
        dof: degrees of freedom of the interval.
        pairs, processes: rounds of measurement, and the processes that they ran in.
        noisy_because: why the row is marked noisy.
        message: why the row has no ratio.
    """

    op: str
    route: str
    device: str
    dtype: str
    sample: str
    elements: Count
    nominal: Amount
    status: Literal["ok", "failed correctness", "did not build", "not supported", "error"]
    message: str | None = None
    median_us: Positive | None = None
    added_us: Amount | None = None
    planted: Positive | None = None
    ratio: Positive | None = None
    ratio_low: Positive | None = None
    ratio_high: Positive | None = None
    between: Amount | None = None
    band: Annotated[float, Meta(ge=1)] | None = None
    dof: Positive | None = None
    pairs: Count | None = None
    processes: Count | None = None
    noisy: bool = False
    noisy_because: str | None = None
