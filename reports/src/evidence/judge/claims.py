"""The claims ledger: what the talk “Bridging PyTorch with MAX and Mojo” says, judged from the pack's own rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evidence.core.pack import Pack
from evidence.core.section import declarations
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.declared import declared
from evidence.judge.judgement import Judge, Judgement, rule
from evidence.judge.row import ClaimRow


class Claim(NamedTuple):
    """One claim of the talk.

    Attributes:
        order: its place in the talk's argument: writing, building, speed, reach, safety, use.
        says: the claim in the talk's sense.
        needs: what must be measured to judge it.
        judge: None for a claim that no pack holds the rows for.
    """

    id: str
    order: int
    says: str
    needs: str
    judge: Judge | None


Remark = Callable[[Pack], "tuple[str, list[str]] | None"]
"""A sentence that a section adds to the evidence of another section's claim, with its rows; None without any."""


def all_claims() -> dict[str, Claim]:
    """id -> claim of every section, in the order of the talk's argument."""
    return declared("CLAIMS", Claim)


def claims(pack: Pack) -> list[ClaimRow]:
    """One row a claim; “not measured here” where there is no rule or the pack lacks the rows."""
    return [_row(pack, claim) for claim in all_claims().values()]


def _row(pack: Pack, claim: Claim) -> ClaimRow:
    judgement = claim.judge(pack) if claim.judge else None
    if judgement is None:
        judgement = Judgement(NOT_MEASURED, f"Needs {claim.needs}.", ())
    else:
        judgement = _with_remarks(pack, claim.id, judgement)
    return ClaimRow(
        id=claim.id,
        claim=claim.says,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        rule=rule(claim.judge) if claim.judge else None,
        needs=claim.needs if judgement.verdict == NOT_MEASURED else None,
        rows=list(dict.fromkeys(judgement.rows)),
    )


def _with_remarks(pack: Pack, claim: str, judgement: Judgement) -> Judgement:
    """The judgement with what sections declare as `REMARKS` on the claim, by its id."""
    for _, remarks in declarations("judge", "REMARKS"):
        if claim in remarks and (remark := remarks[claim](pack)):
            sentence, rows = remark
            evidence = f"{judgement.evidence} {sentence}"
            judgement = Judgement(judgement.verdict, evidence, [*judgement.rows, *rows])
    return judgement
