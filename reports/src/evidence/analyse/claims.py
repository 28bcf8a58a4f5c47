"""The claims ledger: each claim of the talk judged by one function from the pack's own rows, never typed in."""

from __future__ import annotations

from evidence.analyse import (  # noqa: F401 (importing them registers their judges)
    claims_build,
    claims_code,
    claims_faults,
    claims_models,
    claims_reach,
    claims_speed,
    claims_use,
)
from evidence.analyse.claims_data import CLAIMS
from evidence.analyse.judgement import JUDGES, NOT_MEASURED, Judgement, rule
from evidence.pack import Pack, Row


def claims(pack: Pack) -> list[Row]:
    """One row a claim; “not measured here” where there is no rule or the pack lacks the rows."""
    rows = []
    for claim in CLAIMS:
        judge = JUDGES.get(claim.id)
        found = judge(pack) if judge else None
        if found is None:
            found = Judgement(NOT_MEASURED, f"Needs {claim.needs}.", ())
        rows.append({
            "id": claim.id,
            "claim": claim.says,
            "verdict": found.verdict,
            "evidence": found.evidence,
            "rule": rule(judge) if judge else None,
            "needs": claim.needs if found.verdict == NOT_MEASURED else None,
            "rows": list(dict.fromkeys(found.rows)),
        })  # fmt: skip
    return rows
