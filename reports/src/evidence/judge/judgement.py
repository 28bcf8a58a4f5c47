"""How a claim is judged: what its function returns, and the words for how many of its parts hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evidence.core import thresholds
from evidence.core.pack import Pack
from evidence.core.pack import Pointed as Pointed
from evidence.core.tables import all_tables
from evidence.judge.row import ClaimVerdict

HOLDS: ClaimVerdict = "holds"
IN_PART: ClaimVerdict = "holds in part"
DOES_NOT_HOLD: ClaimVerdict = "does not hold"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with its evidence and the rows it stands on."""

    verdict: ClaimVerdict
    evidence: str
    rows: Sequence[str]


Judge = Callable[[Pack], "Judgement | None"]
"""Its docstring is the rule that the report prints, None says that the rows are not there."""


def rule(judge: Judge) -> str:
    """The judge's docstring, with the thresholds that it names."""
    return " ".join((judge.__doc__ or "").split()).format(**vars(thresholds))


def word(yes: int, of: int) -> ClaimVerdict:
    """All of the parts hold, some, or none."""
    if yes == of:
        return HOLDS
    return IN_PART if yes else DOES_NOT_HOLD


def share_word(yes: int, of: int) -> ClaimVerdict:
    """By the shares that a claim about all rows needs to hold and to hold in part."""
    if yes >= thresholds.CLAIM_HOLDS_SHARE * of:
        return HOLDS
    return IN_PART if yes >= thresholds.CLAIM_PART_SHARE * of else DOES_NOT_HOLD


def pointed(pack: Pack, table: str) -> list[Pointed[Any]]:
    """All rows of another section's table, with their pointers; empty where no section has it."""
    row_type = all_tables().get(table)
    return pack.pointed(row_type) if row_type else []


def pointers(rows: Iterable[Pointed[Any]]) -> list[str]:
    """The pointers of some rows."""
    return [row.pointer for row in rows]
