"""Rows of the tables that are computed from the others: `claims`, `verdict` and `decisions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, field

from evidence.core.row import Amount, Pointer, Positive

Side = Literal["cpp", "mojo"]
Strength = Literal["clear", "slight", "tie", "not measured"]
ClaimVerdict = Literal["holds", "holds in part", "does not hold", "not measured here"]


class ClaimRow(Struct, frozen=True, kw_only=True):
    """A claim, judged.

    Attributes:
        claim: the claim in a sentence.
        rule: how it is judged.
        needs: what must run before it can be judged.
        rows: what the judgement stands on.
    """

    id: str
    claim: str | None = None
    verdict: ClaimVerdict
    evidence: str
    rule: str | None = None
    needs: str | None = None
    rows: Sequence[Pointer]


class VerdictRow(Struct, frozen=True):
    """A statement of the first screen.

    Attributes:
        values: the figures that the statement stands on, by name.
        exceptions: what the statement is not true of.
    """

    id: str
    question: str
    verdict: str
    rule: str
    evidence: str
    rows: Sequence[Pointer] = ()
    values: dict[str, Any] = field(default_factory=dict)
    exceptions: str | None = None
    detail: str | None = None


class CriterionRow(Struct, frozen=True, kw_only=True):
    """One criterion of a decision.

    Attributes:
        why: the reason of the weight.
        factor, low, high: ratio and its interval; above 1 favours Mojo.
        counted: the factor that enters the mean, which is 1 where the two sides count as equal.
        adds: the factor that it contributes to the mean.
        decided: whether it shows a difference.
        outcome: what it shows, in natural units.
    """

    id: str
    name: str
    weight: Amount
    why: str | None = None
    factor: Positive | None
    low: Positive | None
    high: Positive | None
    counted: Positive | None = None
    adds: float | None = None
    decided: bool | None = None
    message: str | None = None
    rows: Sequence[Pointer]
    outcome: str | None = None


class GateRow(Struct, frozen=True, kw_only=True):
    """A requirement of a decision, and whether a side meets it; None where that was not measured."""

    requirement: str
    side: Side
    met: bool | None
    evidence: str
    rows: Sequence[Pointer] = ()


class SensitivityRow(Struct, frozen=True, kw_only=True):
    """The decision with the weight of one criterion doubled."""

    criterion: str
    verdict: str
    factor: Positive | None = None
    flips: bool


class DecisionRow(Struct, frozen=True, kw_only=True):
    """A question with its answer.

    Attributes:
        factor, factor_low, factor_high: weighted mean of the criteria and its interval; above 1 favours Mojo.
        measured_share: part of the weight that was measured.
        reason: why no side is favoured, or why one is.
        flips: what would change the answer.
        strength: `slight` where doubling one weight changes the answer; a tie where no side is favoured.
        sentence: the answer in words, without the weighted mean.
        outcomes: what it rests on, in natural units: differences, then what is equal, open or not measured.
    """

    id: str
    question: str
    verdict: str
    favours: Side | None
    factor: Positive | None
    factor_low: Positive | None = None
    factor_high: Positive | None = None
    measured_share: Amount | None = None
    rule: str
    evidence: str
    reason: str | None = None
    criteria: tuple[CriterionRow, ...]
    gates: tuple[GateRow, ...]
    flips: tuple[str, ...]
    sensitivity: tuple[SensitivityRow, ...]
    rows: Sequence[Pointer]
    strength: Strength = "not measured"
    sentence: str | None = None
    outcomes: tuple[str, ...] = ()


TABLES: dict[str, type[Struct]] = {"claims": ClaimRow, "verdict": VerdictRow, "decisions": DecisionRow}
