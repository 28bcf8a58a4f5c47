"""How a claim is judged: what its function returns, and the words for how many of its parts hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evidence.core import thresholds
from evidence.core.pack import Pack, Row

HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with its evidence and the rows it stands on."""

    verdict: str
    evidence: str
    rows: Sequence[str]


Judge = Callable[[Pack], "Judgement | None"]
"""Its docstring is the rule that the report prints, None says that the rows are not there."""


def rule(judge: Judge) -> str:
    """The judge's docstring, with the thresholds that it names."""
    return " ".join((judge.__doc__ or "").split()).format(**vars(thresholds))


def word(yes: int, of: int) -> str:
    """All of the parts hold, some, or none."""
    if yes == of:
        return HOLDS
    return IN_PART if yes else DOES_NOT_HOLD


def share_word(yes: int, of: int) -> str:
    """By the shares that a claim about all rows needs to hold and to hold in part."""
    if yes >= thresholds.CLAIM_HOLDS_SHARE * of:
        return HOLDS
    return IN_PART if yes >= thresholds.CLAIM_PART_SHARE * of else DOES_NOT_HOLD


@dataclass(frozen=True)
class Pointed:
    """A row of the pack with the pointer that leads to it."""

    row: Row
    pointer: str


def pointed(pack: Pack, section: str) -> list[Pointed]:
    """All rows of a section with their pointers."""
    return [Pointed(row, f"/{section}/rows/{index}") for index, row in enumerate(pack.rows(section))]


def pointers(rows: Iterable[Pointed]) -> list[str]:
    """The pointers of some rows."""
    return [row.pointer for row in rows]
