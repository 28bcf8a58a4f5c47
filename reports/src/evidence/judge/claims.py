"""The claims ledger: each claim of the talk judged by one function from the pack's own rows, never typed in."""

from __future__ import annotations

from evidence.core.pack import Pack, Row
from evidence.judge.claims_data import CLAIMS
from evidence.judge.judgement import JUDGES, NOT_MEASURED, Judgement, rule
from evidence.sections.build import claims as claims_build  # noqa: F401 (importing them registers their judges)
from evidence.sections.code import claims as claims_code  # noqa: F401 (importing them registers their judges)
from evidence.sections.faults import claims as claims_faults  # noqa: F401 (importing them registers their judges)
from evidence.sections.integration import claims as claims_use  # noqa: F401 (importing them registers their judges)
from evidence.sections.models import claims as claims_models  # noqa: F401 (importing them registers their judges)
from evidence.sections.runtime import claims as claims_speed  # noqa: F401 (importing them registers their judges)
from evidence.sections.targets import claims as claims_reach  # noqa: F401 (importing them registers their judges)


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
