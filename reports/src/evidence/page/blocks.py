"""What a section shows, as values: headings, texts, tables, figures and folds. `Table` is in `table.py`.

`templates/blocks.html` prints them on the page, `markdown` in `report.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from evidence.core.pack import RAN, Pack
from evidence.core.status import Status
from evidence.page.table import BOTH, PAGE, Table, escaped


@dataclass(frozen=True)
class Heading:
    """A heading below that of the section, of `level` 3 or 4; `note` stands beside it."""

    text: str
    level: int = 3
    id: str = ""
    note: str = ""
    where: str = PAGE


@dataclass(frozen=True)
class Text:
    """A paragraph; of `style` `note` for what is said beside a table."""

    text: str
    style: str = ""
    where: str = PAGE


@dataclass(frozen=True)
class Listing:
    """A list of sentences."""

    items: tuple[str, ...]
    where: str = PAGE


@dataclass(frozen=True)
class Banner:
    """Says in place of rows that they were not measured, or not all of them, and why."""

    title: str
    status: str
    reason: str
    where: str = PAGE


@dataclass(frozen=True)
class Legend:
    """The statuses of a table, and what else a reader of it needs to know."""

    statuses: tuple[Status, ...]
    text: str = ""
    where: str = PAGE


@dataclass(frozen=True)
class Figure:
    """A figure by its name, where the pack has rows for it; in `report.md` where it has a file beside that.

    Attributes:
        name: name of the figure, and of the text that says how it was measured.
        note: what its marks mean; the figure's own note where this is empty.
        table: anchor of the table that holds its figures.
        method: name of the text that says how it was measured, where that is not `name`.
    """

    name: str
    note: str = ""
    table: str = ""
    method: str = ""
    where: str = BOTH


@dataclass(frozen=True)
class Method:
    """“How was this measured?”: the text that a section declares by this name."""

    name: str
    where: str = PAGE


@dataclass(frozen=True)
class Details:
    """Folded blocks.

    Attributes:
        summary: what is seen of them.
        blocks: what is folded.
        aside: said beside the summary.
        id: anchor.
        classes: CSS classes besides `more`: `data` for rows that are not printed on paper.
        counted: whether `aside` is the number of rows, which the page's filters bring up to date.
    """

    summary: str
    blocks: tuple[Block, ...]
    aside: str = ""
    id: str = ""
    classes: str = ""
    counted: bool = False
    where: str = PAGE


@dataclass(frozen=True)
class Layout:
    """Values in a template of their own: the parts of the first screen that are no table."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    where: str = PAGE


Block = Heading | Text | Listing | Banner | Legend | Figure | Method | Details | Layout | Table


def banner(pack: Pack, table: str, title: str, where: str = PAGE) -> list[Block]:
    """Why a table of the pack is not whole; nothing where it is."""
    status = pack.section_status(table)
    return [] if status == RAN else [Banner(title, status, pack.reason(table) or "no reason was recorded", where)]


def rows_details(summary: str, table: Table, counted: bool = False, id: str = "", *before: Block) -> Details:
    """Every row of a table, folded; not printed on paper."""
    aside = f"{len(table.rows)} rows"
    return Details(summary, (*before, table), aside, id, "data", counted)


def prose(sentence: str) -> Markup:
    """A sentence with `code` between backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def noisy(figure: str) -> Markup:
    """A figure that is marked as noisy."""
    return Markup('{} <span class="noisy">noisy</span>').format(figure)


def badge(word: str, tone: str) -> Markup:
    """A verdict on a coloured ground."""
    return Markup('<span class="badge {}">{}</span>').format(tone, word)


def fold(summary: str, body: str) -> Markup:
    """A sentence behind a link that unfolds it in its place."""
    return Markup('<details class="rule"><summary>{}</summary><p>{}</p></details>').format(summary, body)


def markdown(blocks: Iterable[Block], figures: Mapping[str, str]) -> str:
    """The blocks that `report.md` shows; `figures` are the titles of those that have a file."""
    shown = [block for block in blocks if block.where != PAGE]
    return "\n\n".join(text for block in shown if (text := _markdown(block, figures)))


def _markdown(block: Block, figures: Mapping[str, str]) -> str:
    match block:
        case Table():
            return block.markdown
        case Heading():
            return f"**{escaped(block.text)}**" + (f" ({escaped(block.note)})" if block.note else "")
        case Text():
            return escaped(block.text)
        case Listing():
            return "\n".join(f"- {escaped(item)}" for item in block.items)
        case Banner():
            return f"{block.status.capitalize()}: {escaped(block.reason)}"
        case Figure():
            return f"![{escaped(figures[block.name])}]({block.name}.svg)" if block.name in figures else ""
    raise TypeError(f"{type(block).__name__} has no Markdown form")
