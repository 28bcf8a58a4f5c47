"""Rows of the table `correctness`."""

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
