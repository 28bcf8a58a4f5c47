"""A table as a value: columns, rows and cells, with an HTML and a Markdown form.

Both forms are made from the same cells, so that the page and `report.md` cannot differ in a figure.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from markupsafe import Markup, escape

from evidence.core.status import Status
from evidence.page.sort_value import sort_value

PAGE, MARKDOWN, BOTH = "page", "Markdown", "both"
"""Where a block or a part of a table is shown: on the page, in `report.md`, or in both."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        number: whether it holds figures, which are aligned to the right.
        route: the route that it belongs to, by which the page's filter hides it; empty for none.
        where: `PAGE` for a column that Markdown leaves out.
    """

    title: str
    number: bool = False
    route: str = ""
    where: str = BOTH


@dataclass(frozen=True)
class Cell:
    """A cell.

    Text is escaped wherever it is printed; a Markup value is HTML, of which Markdown prints the text alone.

    Attributes:
        text: what it says; after the statuses on the page, and in their place in Markdown where there is none.
        statuses: signs with words.
        aside: said below the text on the page, and in brackets behind it in Markdown.
        notes: said below the text on the page, and behind it in Markdown.
        details: said below the text, on the page alone.
        more: what ends the cell, mostly HTML, on the page alone.
        strong: whether the text is emphasised.
        id: anchor of the row of the pack that it shows.
        title: what the page shows on hovering.
        classes: CSS classes.
        rounds: the accessible name of a button that shows the rounds behind the row; the text where there are none.
        value: what the page sorts it by; the number that the text begins with where this is not given.
    """

    text: str = ""
    statuses: tuple[Status, ...] = ()
    aside: str = ""
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    more: str = ""
    strong: bool = False
    id: str = ""
    title: str = ""
    classes: str = ""
    rounds: str = ""
    value: float | None = None

    @property
    def order(self) -> str:
        """What the page sorts the cell by, as an attribute; empty where its text has no number in front."""
        shown = self.text.striptags() if isinstance(self.text, Markup) else str(self.text)
        value = sort_value(shown) if self.value is None else self.value
        return "" if value is None else f"{value:.12g}"

    def html(self, rounds: str) -> str:
        """What stands in the cell; `rounds` is the id of its row where the rounds behind it can be shown."""
        signs = [status_html(status) for status in self.statuses]
        # More statuses than one stand below each other.
        head = signs[0] if len(signs) == 1 else "".join(map(_below, signs))
        if self.rounds and rounds:
            names = attributes({"data-samples": rounds, "aria-label": self.rounds})
            body = f'<button type="button" class="small"{names}>show</button>'
        else:
            body = f"<strong>{escape(self.text)}</strong>" if self.strong else str(escape(self.text))
        below = (*([self.aside] if self.aside else []), *self.notes, *self.details)
        return f"{head}{' ' if head and body else ''}{body}{''.join(map(_below, below))}{escape(self.more)}"

    def markdown(self, joint: str) -> str:
        """The cell in one line; `joint` stands between the text and its notes."""
        head = "; ".join(f"{status.sign} {status.word}" for status in self.statuses) or self.text
        head = f"**{escaped(head)}**" if self.strong else escaped(head)
        head += f" ({escaped(self.aside)})" if self.aside else ""
        return head + (joint + "; ".join(map(escaped, self.notes)) if self.notes else "")


@dataclass(frozen=True)
class Row:
    """A row of cells.

    Attributes:
        cells: as many as the table has columns.
        id: anchor of the row of the pack that it shows.
        classes: CSS classes.
        group: name of the rows that it stands with, printed above the first of them.
        data: what the page's filters compare: `op`, `route`, `dtype`, ... -> value.
        where: `PAGE` for a row that Markdown leaves out.
    """

    cells: tuple[Cell, ...]
    id: str = ""
    classes: str = ""
    group: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    where: str = BOTH

    @property
    def attributes(self) -> str:
        """Attributes of the HTML element, with a space before each."""
        filtered = " data-row" if self.data else ""
        data = {f"data-{name}": value for name, value in self.data.items()}
        return attributes({"id": self.id, "class": self.classes}) + filtered + attributes(data)


def row(*cells: Cell | str | int, **attributes: Any) -> Row:
    """A row of cells or of what they say; `attributes` are those of `Row`."""
    return Row(tuple(cell if isinstance(cell, Cell) else Cell(_text(cell)) for cell in cells), **attributes)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        label: what it shows, for those who do not see it.
        columns: its columns.
        rows: its rows.
        caption: a sentence above it.
        classes: CSS classes: `filtered` for the page's filters, `grid`, `wrap` and `short` for its look.
        id: anchor.
        header: whether the first cell of a row is the row's heading.
        joint: what stands between the text of a cell and its notes in Markdown.
        where: where it is shown.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    classes: str = ""
    id: str = ""
    header: bool = True
    joint: str = ": "
    where: str = PAGE

    def __post_init__(self) -> None:
        for index, line in enumerate(self.rows):
            if len(line.cells) != len(self.columns):
                titles = ", ".join(repr(column.title) for column in self.columns)
                raise ValueError(
                    f"table {self.label!r}, row {index} ({line.cells[0].text if line.cells else ''!r}): "
                    f"{len(line.cells)} cells, expected {len(self.columns)}: {titles}"
                )

    @property
    def groups(self) -> Iterator[tuple[str, list[Row]]]:
        """Rows that follow each other in one group, with the name of the group.

        Every row has an anchor, so that a reader can link to it: that of the pack, else one by its place.
        """
        name = f"row-{slug(self.id or self.label)}"
        anchored = (line if line.id else replace(line, id=f"{name}-{place}") for place, line in enumerate(self.rows))
        for group, rows in groupby(anchored, key=lambda line: line.group):
            yield group, list(rows)

    def html(self, rounds: Container[str] = ()) -> Markup:
        """The table on the page; `rounds` are the ids of the rows whose rounds can be shown."""
        heads = "".join(
            f'<th scope="col"{attributes({"class": "n" * column.number, "data-column": column.route})}>'
            f"{escape(column.title)}</th>"
            for column in self.columns
        )
        caption = f"<caption>{escape(self.caption)}</caption>\n" if self.caption else ""
        bodies = "".join(self._body_html(name, rows, rounds) for name, rows in self.groups) or "<tbody></tbody>\n"
        nothing = NO_ROW_FITS if "filtered" in self.classes.split() else ""
        return Markup(
            f'<div class="scroll"{attributes({"id": self.id})} tabindex="0" role="region" '
            f'aria-label="{escape(self.label)}">\n<table{attributes({"class": self.classes})}>\n{caption}'
            f"<thead><tr>{heads}</tr></thead>\n{bodies}</table>\n{nothing}</div>"
        )

    def _body_html(self, name: str, rows: list[Row], rounds: Container[str]) -> str:
        width = len(self.columns)
        group = f'<tr><th scope="rowgroup" colspan="{width}">{escape(name)}</th></tr>\n' if name else ""
        lines = "".join(
            f"<tr{line.attributes}>{self._cells_html(line, line.id if line.id in rounds else '')}</tr>\n"
            for line in rows
        )
        return f"<tbody>\n{group}{lines}</tbody>\n"

    def _cells_html(self, line: Row, rounds: str) -> str:
        texts = []
        for index, (column, cell) in enumerate(zip(self.columns, line.cells, strict=True)):
            element = 'th scope="row"' if self.header and not index else "td"
            classes = f"{cell.classes} n".strip() if column.number else cell.classes
            names = {"class": classes, "id": cell.id, "title": cell.title, "data-column": column.route,
                     "data-value": cell.order}  # fmt: skip
            texts.append(f"<{element}{attributes(names)}>{cell.html(rounds)}</{element[:2]}>")
        return "".join(texts)

    @property
    def markdown(self) -> str:
        """The table in Markdown, without what only the page shows."""
        kept = [index for index, column in enumerate(self.columns) if column.where != PAGE]
        lines = [[escaped(self.columns[index].title) for index in kept]]
        lines += [
            [line.cells[index].markdown(self.joint) for index in kept] for line in self.rows if line.where != PAGE
        ]
        texts = ["".join(f"| {text} " if text else "| " for text in line) + "|" for line in lines]
        texts.insert(1, "|" + "".join("---:|" if self.columns[index].number else "---|" for index in kept))
        return "\n".join(texts)


def columns(*titles: str | Column) -> tuple[Column, ...]:
    """Columns of text by their titles."""
    return tuple(title if isinstance(title, Column) else Column(title) for title in titles)


def numbers(*titles: str) -> tuple[Column, ...]:
    """Columns of figures by their titles."""
    return tuple(Column(title, number=True) for title in titles)


NO_ROW_FITS = (
    '<p class="empty" hidden>No row of this table fits the filter. '
    '<button type="button" class="reset">Reset the filter</button></p>\n'
)


def status_html(status: Status) -> Markup:
    """A sign, which is for the eye alone, and its word."""
    sign = Markup('<span class="{} sign" aria-hidden="true">{}</span>').format(status.tone, status.sign)
    return Markup('{} <span class="{} word">{}</span>').format(sign, status.tone, status.word)


def attributes(values: Mapping[str, str]) -> str:
    """HTML attributes, each with a space before it; those without a value are left out."""
    return "".join(f' {name}="{escape(value)}"' for name, value in values.items() if value)


def slug(title: str) -> str:
    """A title as part of an anchor: lower-case letters and digits, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _below(text: str) -> str:
    return f'<span class="sub">{escape(text)}</span>'


def escaped(value: Any) -> str:
    """Text for Markdown: one line, in which numbers keep their units, and nothing read as markup."""
    text = value.striptags() if isinstance(value, Markup) else str(value)
    text = re.sub(r"[^\S\u00a0]+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)


def _text(value: str | int) -> str:
    return value if isinstance(value, str) else str(value)
