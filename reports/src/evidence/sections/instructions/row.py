"""Rows of the table `instructions`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Count, Positive


class InstructionRow(Struct, frozen=True, kw_only=True):
    """User-space instructions of one small call, from Python, of an op on a route.

    Attributes:
        tool: what counted: the processor's counter (`perf`) or a simulation of its instructions (`callgrind`).
        counted: whose instructions.
        instructions: of a call, the loop around it taken off: median of the processes.
        low, high: lowest and highest of the processes.
        repeats: whether the processes agree within the tolerance; None for a single process.
        processes: processes that counted.
        message: why there is no count, or that the processes disagree.
    """

    op: str
    route: str
    dtype: str
    sample: str
    elements: Count
    tool: Literal["perf", "callgrind"] | None = None
    counted: str | None = None
    instructions: Positive | None = None
    low: Positive | None = None
    high: Positive | None = None
    repeats: bool | None = None
    processes: Count | None = None
    message: str | None = None
