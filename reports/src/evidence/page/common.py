"""What every section of the page uses: links to rows, text for values, tables of facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from evidence.core import text
from evidence.core.interval import Interval, Spread
from evidence.core.pack import RAN, Pack, Row
from evidence.core.routes import CPP, MOJO
from evidence.core.status import Status
from evidence.judge.comparison import CPP_AHEAD, MOJO_AHEAD, NOT_MEASURED
from evidence.page.blocks import Block, Details, Text, banner
from evidence.page.table import BOTH, Table, columns, row

Context = dict[str, Any]

MOST_LINKS = 24
ROUTE_NAMES = {"cpp": "C++", "mojo_aot": "Mojo (shared library)", "mojo": "Mojo (MAX engine)"}
"""The two sides and the engine, as sentences name their routes to a reader who knows no route."""


def anchor(pointer: str) -> str:
    """Where a row of the pack stands on the page: `/runtime/rows/3` -> `runtime-3`, else the section."""
    parts = pointer.strip("/").split("/")
    return f"{parts[0]}-{parts[2]}" if len(parts) == 3 and parts[1] == "rows" else parts[0]


def row_links(pointers: Iterable[str]) -> Markup:
    """Links to rows of the pack, table by table: the first few by number, and how many there are."""
    tables: dict[str, list[str]] = {}
    for pointer in dict.fromkeys(pointers):
        tables.setdefault(pointer.strip("/").split("/")[0], []).append(pointer)
    return Markup("; ").join(_table_links(name, rows) for name, rows in tables.items())


def _table_links(table: str, pointers: list[str]) -> Markup:
    link = Markup('<a href="#{}">{}</a>')
    links = Markup(", ").join(link.format(anchor(pointer), pointer.split("/")[-1]) for pointer in pointers[:MOST_LINKS])
    more = f" and {len(pointers) - MOST_LINKS} more" if len(pointers) > MOST_LINKS else ""
    rows = text.count(len(pointers), "row")
    return Markup('<span class="rows">{} of {}: {}{}</span>').format(rows, table, links, more)


def signs(statuses: Iterable[Status]) -> Markup:
    """Statuses by their signs alone; the word is shown on hovering."""
    sign = Markup('<span class="{}" title="{}">{}</span>')
    return Markup(" ").join(sign.format(f"{status.tone} sign", status.word, status.sign) for status in statuses)


def tone(word: str) -> str:
    """CSS class of a verdict word."""
    if word.endswith(("fails", "fail")):
        return "no"
    if word in (CPP_AHEAD, MOJO_AHEAD):
        return CPP if word == CPP_AHEAD else MOJO
    return "absent" if word == NOT_MEASURED else "plain"


def interval_text(value: Interval | None) -> str:
    """`1.3 µs (1.2 to 1.4)`; the middle alone where the interval has no width."""
    if value is None:
        return "–"
    if value.low == value.high:
        return text.micros(value.mid)
    return f"{text.micros(value.mid)} ({text.micros(value.low)} to {text.micros(value.high)})"


def spread_range(value: Spread | None) -> str:
    """`0.4x to 3x`, or a dash."""
    if value is None:
        return "–"
    return text.factor(value.mean) if value.count == 1 else f"{text.factor(value.low)} to {text.factor(value.high)}"


def number_range(values: Iterable[int]) -> str:
    """`3 to 5`, `4` where all are equal, nothing where there are none."""
    distinct = sorted(set(values))
    if not distinct:
        return ""
    return f"{distinct[0]:,}" if len(distinct) == 1 else f"{distinct[0]:,} to {distinct[-1]:,}"


def finding(*sentences: str) -> list[Block]:
    """The paragraph that opens a section: what its rows show, in plain words. Empty sentences are left out."""
    shown = Markup(" ").join(sentence for sentence in sentences if sentence)
    return [Text(shown, "finding", BOTH)] if shown else []


def folded(pack: Pack, table: str, summary: str, *blocks: Block, aside: str = "", id: str = "") -> Details:
    """A part of a section that stands on one table of the pack, folded under that table's anchor.

    Where the table is not whole, that is said beside the summary, and the reason inside.
    """
    state = pack.section_status(table)
    whole = state == RAN
    return Details(
        summary,
        (*banner(pack, table, summary), *blocks),
        aside if whole else ("not measured" if not blocks else f"{state} only"),
        id or table,
        "data",
    )


def both_sides(routes: Iterable[str]) -> list[str]:
    """The routes of the two sides and the engine, of those that there are: what a section shows unfolded."""
    measured = set(routes)
    return [route for route in ROUTE_NAMES if route in measured]


def by_name(figures: Mapping[str, str | None]) -> str:
    """`C++ 4.8 s, Mojo (shared library) 13 s`: the figures of the two sides and the engine, of those that have any."""
    return ", ".join(f"{name} {figures[route]}" for route, name in ROUTE_NAMES.items() if figures.get(route))


def op_link(op: str) -> Markup:
    """An op that leads to its page."""
    return Markup('<a href="#op/{0}">{0}</a>').format(op)


def linked(figure: str, pointer: str) -> Markup:
    """A figure that leads to the row it comes from."""
    return Markup('<a class="figure" href="#{}">{}</a>').format(anchor(pointer), figure)


def listed(names: Iterable[str], most: int = 4) -> str:
    """`a, b and c`; of many the first ones, and how many more there are."""
    items = list(dict.fromkeys(names))
    if len(items) > most + 1:
        items = [*items[:most], f"{len(items) - most} more"]
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def shortened(message: str, longest: int) -> str:
    """The message with at most `longest` characters."""
    return message if len(message) <= longest else message[: longest - 1] + "…"


def commit_note(pack: Pack, setting: str, subject: str) -> str | None:
    """A sentence where `subject`, which was measured by itself, and the rest of a pack are of different commits."""
    commit, rest = pack.facts("settings").get(setting), pack.facts("versions").get("commit")
    if not commit or not rest or commit == rest:
        return None
    return f"{subject} is of commit {str(commit)[:12]}, the rest of the pack of {str(rest)[:12]}."


def loose_table(label: str, rows: list[Row], table: str) -> Table:
    """Rows of `table` whose keys this release does not interpret, printed as they are."""
    keys = list(dict.fromkeys(key for line in rows for key in line))
    lines = (
        row(*("–" if line.get(key) is None else str(line[key]) for key in keys), id=f"{table}-{index}")
        for index, line in enumerate(rows)
    )
    return Table(label, columns(*keys), tuple(lines), header=False)


def flat(facts: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested facts as `a.b` -> text."""
    if isinstance(facts, dict):
        return [pair for key, value in facts.items() for pair in flat(value, f"{name}.{key}" if name else str(key))]
    if isinstance(facts, list):
        return [(name, ", ".join(str(item) for item in facts) or "none")]
    if isinstance(facts, bool):
        return [(name, "yes" if facts else "no")]
    return [(name, "–" if facts is None else str(facts))]
