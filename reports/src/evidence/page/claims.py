"""The talk's claims, each judged by a fixed rule, or with what it would take to measure it."""

from __future__ import annotations

from collections import Counter

from evidence.core import text
from evidence.core.pack import RAN, Pack
from evidence.judge.claims import claims
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART
from evidence.judge.row import ClaimRow
from evidence.page.blocks import Block, Details, Text, badge, fold
from evidence.page.common import finding, row_links
from evidence.page.table import MARKDOWN, Cell, Table, columns, row
from evidence.page.table import Row as Line

TONES = {HOLDS: "yes", IN_PART: "part", DOES_NOT_HOLD: "no"}


def content(pack: Pack) -> list[Block]:
    """The claims that were judged, and those that were not."""
    indexed = list(enumerate(claim_rows(pack)))
    judged = [_judged(index, claim) for index, claim in indexed if claim.verdict in TONES]
    absent = [
        row(_name(claim), claim.evidence, id=f"claims-{index}")
        for index, claim in indexed
        if claim.verdict not in TONES
    ]
    verdicts = Counter(claim.verdict for _, claim in indexed if claim.verdict in TONES)
    counts = ", ".join(f"{verdict} {verdicts[verdict]}" for verdict in TONES if verdicts[verdict])
    blocks: list[Block] = [
        *finding(
            "Statements of the talk “Bridging PyTorch with MAX and Mojo”, each judged by a fixed rule from the rows of "
            "this pack.",
            f"{text.upper_first(counts)}; not measured here {len(absent)}." if counts else "",
        ),
        Table("Claims", columns("The talk says", "Verdict", "Evidence"), tuple(judged))
        if judged
        else Text("No claim could be judged from this pack.", "banner"),
    ]
    if absent:
        table = Table("Claims not measured here", columns("The talk says", "Evidence"), tuple(absent))
        aside = f"{text.count(len(absent), 'claim')}, with what it would take"
        blocks.append(Details("Not measured here", (table,), aside, classes="data"))
    return [*blocks, claim_table([claim for _, claim in indexed])]


def claim_rows(pack: Pack) -> list[ClaimRow]:
    """The claims as recorded; judged here for a pack that an interruption left without."""
    return pack.table(ClaimRow) if pack.section_status("claims") == RAN else claims(pack)


def claim_table(rows: list[ClaimRow]) -> Table:
    """The claims for Markdown, the judged ones first."""
    lines = (
        row(_name(claim), claim.verdict, claim.evidence)
        for claim in sorted(rows, key=lambda claim: claim.verdict not in TONES)
    )
    return Table("Claims", columns("The talk says", "Verdict", "Evidence"), tuple(lines), where=MARKDOWN)


def _name(claim: ClaimRow) -> str:
    return str(claim.claim or claim.id)


def _judged(index: int, claim: ClaimRow) -> Line:
    verdict = badge(claim.verdict, TONES[claim.verdict])
    rule = f"{claim.evidence} Rule: {claim.rule or 'not recorded'} "
    evidence = Cell(more=fold("evidence", rule + row_links(claim.rows)))
    return row(_name(claim), verdict, evidence, id=f"claims-{index}")
