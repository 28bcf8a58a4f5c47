"""The first screen: the decisions, headline figures, every route by itself, and the findings behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evidence.core import text
from evidence.core.pack import RAN, Pack
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.judge.row import VerdictRow
from evidence.judge.verdict import verdict
from evidence.page.blocks import Block, Details, Heading, Layout, Text, banner
from evidence.page.common import row_links, tone
from evidence.page.decisions import decision_table, decisions
from evidence.page.headline import Card, cards, route_table
from evidence.page.table import BOTH, MARKDOWN, Cell, Table, columns, row

ROUTES = "Every route by itself"
DECIDE = "only the routes that represent a side decide anything"


def content(pack: Pack) -> list[Block]:
    """The verdict as a list on the page, and as tables in Markdown."""
    questions = decisions(pack)
    routes = route_table(pack)
    headline = cards(pack)
    statements = verdict_rows(pack)
    blocks: list[Block] = banner(pack, "decisions", "Decisions")
    if questions:
        blocks = [Layout("decision_list.html", {"decisions": questions}), decision_table(pack)]
    blocks += [Layout("cards.html", {"cards": headline}), card_table(headline)]
    if routes.rows:
        note = (
            "Speed: geometric mean over the rows in which both the route and the representative of its side were "
            "timed. Features: how many of the tested features work."
        )
        blocks += [
            Details(ROUTES, (routes, Text(note, "note")), DECIDE),
            Text(f"{ROUTES}; {DECIDE}.", where=MARKDOWN),
            replace(routes, where=MARKDOWN),
        ]
    blocks += [
        Heading("Findings behind it"),
        Layout(
            "statement_list.html",
            {"statements": statements, **STATEMENT_PARTS},
        ),
        statement_table(statements),
    ]
    absent = _missing(pack)
    return [*blocks, Text(absent, "note", BOTH)] if absent else blocks


def verdict_rows(pack: Pack) -> Sequence[VerdictRow]:
    """The verdict as recorded; computed here for a pack that an interruption left without."""
    if pack.section_status("verdict") == RAN:
        return pack.table(VerdictRow)
    return verdict(pack)


def missing_tables(pack: Pack) -> dict[str, list[str]]:
    """Reason -> tables of the pack that are not whole, so that a reason is given once."""
    reasons: dict[str, list[str]] = {}
    for entry in pack.missing:
        if entry["section"] not in ("claims", "verdict"):
            reasons.setdefault(entry["reason"], []).append(entry["section"])
    return reasons


def _missing(pack: Pack) -> str:
    reasons = missing_tables(pack)
    tables = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    return f"Not in this pack: {tables}." if tables else ""


def _exceptions(statement: VerdictRow) -> str:
    return f"{text.upper_first(statement.exceptions)}." if statement.exceptions else ""


STATEMENT_PARTS = {"exceptions": _exceptions, "tone": tone, "links": row_links}


def statement_table(statements: Sequence[VerdictRow]) -> Table:
    """The findings, for Markdown."""
    rows = (
        row(
            statement.question,
            Cell(statement.verdict, strong=True),
            f"{statement.evidence} {_exceptions(statement)}".strip(),
        )
        for statement in statements
    )
    return Table("Findings", columns("Question", "Verdict", "Evidence"), tuple(rows), where=MARKDOWN)


def card_table(headline: list[Card]) -> Table:
    """The headline figures, for Markdown."""
    rows = (
        row(
            f"{card.title}: {card.quantity}",
            *(
                Cell(figure.figure or "–", aside=figure.route or "", notes=figure.notes, strong=True)
                for figure in card.figures
            ),
        )
        for card in headline
    )
    heads = columns("", *(SIDE_NAMES[side] for side in SIDES))
    return Table("Headline figures", heads, tuple(rows), joint="; ", where=MARKDOWN)
