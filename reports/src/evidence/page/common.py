"""What every section of the page uses: links to rows, words for values, text for Markdown."""

from __future__ import annotations

import re
from typing import Any

from evidence.core import text
from evidence.core.interval import Interval, Spread
from evidence.core.pack import Row
from evidence.core.routes import CPP, MOJO
from evidence.judge.comparison import CPP_AHEAD, MOJO_AHEAD, NOT_MEASURED

Context = dict[str, Any]


def anchor(pointer: str) -> str:
    """Where a row of the pack stands on the page: `/runtime/rows/3` -> `runtime-3`, else the section."""
    parts = pointer.strip("/").split("/")
    return f"{parts[0]}-{parts[2]}" if len(parts) == 3 and parts[1] == "rows" else parts[0]


MOST_LINKS = 24


def pointers(rows: list[str]) -> list[Context]:
    """Links to rows, section by section: the first few by number, and how many there are."""
    sections: dict[str, list[str]] = {}
    for pointer in dict.fromkeys(rows):
        sections.setdefault(pointer.strip("/").split("/")[0], []).append(pointer)
    return [
        {
            "text": f"{text.count(len(some), 'row')} of {name}",
            "rows": [{"href": anchor(one), "text": one.split("/")[-1]} for one in some[:MOST_LINKS]],
            "more": f"and {len(some) - MOST_LINKS} more" if len(some) > MOST_LINKS else "",
        }
        for name, some in sections.items()
    ]


def tone(word: str) -> str:
    """CSS class of a verdict word."""
    if word.endswith(("fails", "fail")):
        return "no"
    if word in (CPP_AHEAD, MOJO_AHEAD):
        return CPP if word == CPP_AHEAD else MOJO
    return "absent" if word == NOT_MEASURED else "plain"


def time_words(value: Interval | None) -> str:
    if value is None:
        return "–"
    if value.low == value.high:
        return text.micros(value.mid)
    return f"{text.micros(value.mid)} ({text.micros(value.low)} to {text.micros(value.high)})"


def loose_table(rows: list[Row]) -> Context:
    """Rows whose keys this release does not interpret, printed as they are."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {"keys": keys, "rows": [["–" if row.get(key) is None else str(row[key]) for key in keys] for row in rows]}


def flat(facts: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested facts as `a.b` -> text."""
    if isinstance(facts, dict):
        return [pair for key, value in facts.items() for pair in flat(value, f"{name}.{key}" if name else str(key))]
    if isinstance(facts, list):
        return [(name, ", ".join(str(item) for item in facts) or "none")]
    if isinstance(facts, bool):
        return [(name, "yes" if facts else "no")]
    return [(name, "–" if facts is None else str(facts))]


def plain(value: Any) -> str:
    """Text for Markdown: one line, and nothing in it read as markup."""
    words = re.sub(r"\s+", " ", str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", words)


def spread_range(value: Spread | None) -> str:
    """`0.4x to 3x`, or a dash."""
    if value is None:
        return "–"
    return text.factor(value.mean) if value.count == 1 else f"{text.factor(value.low)} to {text.factor(value.high)}"
