"""Rows of the tables `runtime`, `noise` and `roofline`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from evidence.core.row import Amount, Base, Count, Mode, Positive

Status = Literal["ok", "failed correctness", "did not build", "not supported", "left out", "error"]
SizeClass = Literal["small", "middle", "large"]


class RuntimeRow(Struct, frozen=True, kw_only=True):
    """Time of one op on one route, dtype and sample. A ratio above 1 means faster than the other route.

    Attributes:
        sample, label: name of the sample, and what the page calls it.
        ratio_to_eager, ratio_low, ratio_high: median of the ratios to eager PyTorch by round, and its interval.
        between_eager, between_cpp: standard deviation between processes of the logarithm of the ratio.
        elements, bytes, flops: of the sample; `bytes` is what must move.
        roofline_limit: bound of `bound`, in GB/s or GFLOP/s; `roofline_share` is the part of it that was reached.
        pairs, processes: rounds of measurement, and the processes that they ran in.
        noisy_because: why the row is marked noisy and left out of averages.
    """

    op: str
    route: str
    device: str
    dtype: str
    sample: str
    mode: Mode
    status: Status
    message: str | None = None
    label: str | None = None
    median_us: Positive | None
    ci_low_us: Positive | None
    ci_high_us: Positive | None
    ratio_to_eager: Positive | None
    ratio_low: Positive | None
    ratio_high: Positive | None
    ratio_to_cpp: Positive | None
    ratio_to_cpp_low: Positive | None
    ratio_to_cpp_high: Positive | None
    between_eager: Amount | None = None
    between_cpp: Amount | None = None
    elements: Count
    bytes: Count | None = None
    flops: Count | None = None
    gb_per_s: Amount | None = None
    roofline_share: Amount | None = None
    roofline_limit: Amount | None = None
    bound: Literal["bandwidth", "flops"] | None = None
    pairs: Count | None = None
    processes: Count | None = None
    noisy: bool
    noisy_because: str | None = None


class NoiseRow(Struct, frozen=True, kw_only=True):
    """Spread between processes of the ratios of one kind.

    Attributes:
        rows: ratios of this kind.
        dof, sd: degrees of freedom and standard deviation of their logarithms, pooled.
        prior_sd, prior_dof: the prior that moderates the spread of a single row.
        band: factor that a ratio must exceed to be told apart from 1 in a single row.
        pooled_over, pooled_rows: the rows that the spread was pooled over.
    """

    device: str
    route: str
    base: Base
    mode: Mode
    size_class: SizeClass
    rows: Count
    dof: Amount | None
    sd: Amount | None
    prior_sd: Amount | None = None
    prior_dof: Amount | None = None
    band: Annotated[float, Meta(ge=1)] | None
    pooled_over: str | None = None
    pooled_rows: Count | None = None
    processes: Count | None = None


class RooflineRow(Struct, frozen=True, kw_only=True):
    """A limit of the hardware as it was measured.

    Attributes:
        threads: threads of the measurement, or None where the device decides.
        bytes: size of the working set.
        elements: rows of the square matrices of a product.
        reads_per_write: bytes that a copy reads for each that it writes.
        way: how the limit was measured.
    """

    device: str
    kind: Literal["copy", "matmul", "registers"]
    dtype: str
    threads: Count | None
    unit: Literal["GB/s", "GFLOP/s"]
    value: Positive | None
    low: Positive | None
    high: Positive | None
    bytes: Count | None = None
    elements: Count | None = None
    message: str | None = None
    reads_per_write: Amount | None = None
    way: str | None = None
