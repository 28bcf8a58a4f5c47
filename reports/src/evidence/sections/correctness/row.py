"""Rows of the tables `correctness` and `specs`."""

from __future__ import annotations

from msgspec import Struct

from evidence.core.row import Count


class CorrectnessRow(Struct, frozen=True, kw_only=True):
    """Checks of one op on one route, dtype and device.

    Attributes:
        message: of the first check that failed or was skipped.
    """

    op: str
    route: str
    dtype: str
    passed: Count
    failed: Count
    skipped: Count
    message: str | None
    device: str


class SpecRow(Struct, frozen=True, kw_only=True):
    """What an op is, from its spec in `shared_tests/ops`: both sides are checked against it.

    Attributes:
        what: the op in a sentence.
        schema, out_schema: PyTorch schemas; no `out_schema` for an op that writes its arguments.
        reference: source of the op in eager PyTorch, which also runs in float64.
        gradients: arguments for which every registered route has a gradient.
        autocast: what autocast casts floating-point arguments to, or None.
        deterministic: whether two runs with the same arguments give the same bits, in words.
        samples, errors: names of the small calls, and of the bad calls that must be refused.
        timed: names of the calls that are timed.
        skips: known gaps, with the reason.
    """

    op: str
    what: str
    schema: str
    out_schema: str | None
    reference: str
    dtypes: tuple[str, ...]
    gradients: tuple[str, ...]
    autocast: str | None
    deterministic: str
    samples: tuple[str, ...]
    errors: tuple[str, ...]
    timed: tuple[str, ...]
    skips: tuple[str, ...] = ()
