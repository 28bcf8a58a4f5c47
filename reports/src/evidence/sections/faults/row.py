"""Rows of the table `faults`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Amount, Side

Caught = Literal[
    "compile", "load", "call", "sanitizer", "crash", "hang", "silent", "no effect", "not expressible", "did not run"
]


class Step(Struct, frozen=True, kw_only=True):
    """One step of trying a mistake, in its order.

    Attributes:
        seconds: of the step, or None where it did not run.
    """

    step: str
    outcome: str
    seconds: Amount | None
    message: str | None


class FaultRow(Struct, frozen=True, kw_only=True):
    """A mistake on one side, and what caught it.

    Attributes:
        mistake: the mistake in a sentence.
        call: the Python call that was made.
        source: the file that defines the mistake.
        diff: the edit of the side's sources, empty where only the call is wrong.
        by: what reported it, for instance a sanitizer.
        seconds: from the start of the compiler to the report.
        shipped: what the build as it ships did.
        warning: the compiler's first warning, which does not count as caught.
        note: of the conditions of the run.
    """

    fault: str
    side: Side
    title: str | None = None
    kind: str | None = None
    mistake: str | None = None
    call: str | None = None
    source: str | None = None
    diff: str | None = None
    caught: Caught
    by: str | None = None
    message: str | None
    seconds: Amount | None
    shipped: Caught | None = None
    warning: str | None = None
    steps: tuple[Step, ...] = ()
    note: str | None = None
