"""The first screen: three sentences, both sides and the engine in one table, what to move, and the decisions.

It prints `judge.summary.Summary`, which the terminal and the copied text print too. What stands behind it folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from markupsafe import Markup, escape

from evidence.core import text
from evidence.core.pack import RAN, Pack
from evidence.judge.row import VerdictRow
from evidence.judge.summary import COLUMNS, LISTED_MOVES, Sentence, Summary, SummaryFigure, summary
from evidence.judge.verdict import verdict
from evidence.page.blocks import Block, Details, Layout, Text, banner
from evidence.page.common import op_link, row_links, tone
from evidence.page.decisions import decision_table, decisions
from evidence.page.headline import route_table
from evidence.page.table import BOTH, MARKDOWN, Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line

ROUTES = "Every route by itself"
COSTS = "What it costs"
DECIDE = "only the routes that represent a side decide anything"


def content(pack: Pack) -> list[Block]:
    """The first screen, and folded what it stands on."""
    shown = summary(pack)
    questions = decisions(pack, shown)
    statements = verdict_rows(pack)
    routes = route_table(pack)
    blocks: list[Block] = [Text(_sentence(sentence), "answer", BOTH) for sentence in shown.sentences]
    blocks += [figure_table(shown)] if shown.figures else []
    blocks += [Text(moves, "moves", BOTH)] if (moves := _moves(shown)) else []
    if questions:
        blocks += [Layout("decision_list.html", {"decisions": questions}), decision_table(pack, shown)]
    else:
        blocks += banner(pack, "decisions", "Decisions")
    if shown.costs:
        blocks.append(Details(COSTS, (cost_table(shown),), "one more op, a wrong line, GPUs, models", classes="data"))
    if statements:
        table = Layout("statement_list.html", {"statements": statements, **STATEMENT_PARTS})
        fold = Details("Findings behind it", (table,), classes="data")
        blocks += [fold, statement_table(statements)]
    if routes.rows:
        note = (
            "Speed: geometric mean over the rows in which both the route and the representative of its side were "
            "timed. Features: how many of the tested features work. Only the routes that represent a side decide "
            "anything."
        )
        blocks += [
            Details(ROUTES, (routes, Text(note, "note")), classes="data"),
            Text(f"{ROUTES}; {DECIDE}.", where=MARKDOWN),
            replace(routes, where=MARKDOWN),
        ]
    absent = _missing(pack)
    if absent:
        tables = text.count(len(pack.missing), "table")
        fold = Details("Not in this pack", (Text(absent, "note"),), tables, classes="data")
        blocks += [fold, Text(absent, where=MARKDOWN)]
    return blocks


def _sentence(sentence: Sentence) -> Markup:
    """The sentence, each clause of which leads to the table that it stands on."""
    linked_text = Markup(escape(str(sentence)))
    link = Markup('<a class="clause" href="#{}">{}</a>')
    for clause in sentence.clauses:
        if clause.rows:
            phrase = escape(clause.text)
            # The sentence starts with a capital where its first clause does not.
            for form in (phrase, escape(text.upper_first(clause.text))):
                if form in linked_text:
                    table = clause.rows[0].strip("/").split("/")[0]
                    linked_text = Markup(str(linked_text).replace(str(form), str(link.format(table, Markup(form))), 1))
                    break
    return linked_text


def figure_table(shown: Summary, linked: bool = True) -> Table:
    """The figures of the two sides and the engine, each leading to its section where there is one."""
    rows = (_figure_row(figure, linked) for figure in shown.figures)
    heads = columns("", *numbers(*(name for _, name in COLUMNS)))
    return Table("Both sides and the engine", heads, tuple(rows), classes="summary", where=BOTH)


def cost_table(shown: Summary) -> Table:
    """What one more op takes, what a wrong line costs, what ran where on GPUs, and speed by time in models."""
    heads = columns("", *(name for _, name in COLUMNS))
    return Table(COSTS, heads, tuple(_figure_row(figure) for figure in shown.costs), classes="summary", where=BOTH)


def _figure_row(figure: SummaryFigure, linked: bool = True) -> Line:
    name = Markup('<a href="#{}">{}</a>').format(figure.section, figure.name) if linked else figure.name
    return row(Cell(name), *(figure.values.get(route, "–") for route, _ in COLUMNS))


def _moves(shown: Summary) -> Markup:
    """Which ops gain most from a custom kernel, and which are better left as they are, with a link to all."""
    gains = [Markup("{} {}").format(op_link(move.op), text.factor(move.gain.mid)) for move in shown.moves]
    leaves, depends = ([op_link(move.op) for move in moves] for moves in (shown.leaves, shown.depends))
    lists = (("Move:", gains), ("Leave:", leaves), ("Depends on size and dtype:", depends))
    parts = [Markup("<strong>{}</strong> {}").format(lead, _ops(ops)) for lead, ops in lists if ops]
    if not parts:
        return Markup("")
    return Markup('{} <a class="all" href="#runtime">All ops →</a>').format(Markup(" &ensp; ").join(parts))


def _ops(ops: Sequence[Markup]) -> Markup:
    """The first ops of a list, and how many more there are."""
    more = f" and {len(ops) - LISTED_MOVES} more" if len(ops) > LISTED_MOVES else ""
    return Markup(", ").join(Markup('<span class="move">{}</span>').format(op) for op in ops[:LISTED_MOVES]) + more


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


def statement_table(statements: Iterable[VerdictRow]) -> Table:
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
