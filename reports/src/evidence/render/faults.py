"""The fault table: what each side does with the same mistake, and where it is noticed."""

from __future__ import annotations

from collections import Counter

from evidence.analyse import text
from evidence.analyse.routes import CPP, MOJO
from evidence.pack import Pack, Row
from evidence.render.common import Context

SIDES = {CPP: "C++", MOJO: "Mojo, MAX engine", "mojo_aot": "Mojo, shared library"}

CAUGHT = {
    "compile": ("✓", "at compile time", "yes"),
    "load": ("✓", "at load", "yes"),
    "call": ("✓", "error at the call", "yes"),
    "sanitizer": ("◐", "by a sanitizer only", "part"),
    "no effect": ("○", "no effect", "muted"),
    "not expressible": ("○", "cannot be written", "muted"),
    "crash": ("✗", "crash", "no"),
    "hang": ("✗", "hang", "no"),
    "silent": ("‼", "silent wrong result", "no"),
    "did not run": ("–", "did not run", "muted"),
}
"""Sign, word and tone of where a mistake is caught, from early to never; sign and word carry the meaning."""

LONGEST = 220


def fault_table(pack: Pack) -> Context:
    """Faults as lines, sides as columns, and a count of each outcome by side."""
    rows = pack.rows("faults")
    sides = [side for side in SIDES if any(row["side"] == side for row in rows)]
    cells: dict[str, dict[str, Context]] = {}
    titles: dict[str, str] = {}
    told: dict[str, str] = {}
    for index, row in enumerate(rows):
        cells.setdefault(row["fault"], {})[row["side"]] = _cell(index, row)
        titles.setdefault(row["fault"], str(row.get("title") or row["fault"]))
        told.setdefault(row["fault"], str(row.get("mistake") or ""))
    lines = [
        {
            "name": titles[fault],
            "told": told[fault],
            "fault": fault,
            "cells": [some.get(side, _empty()) for side in sides],
        }
        for fault, some in cells.items()
    ]
    return {
        "sides": [SIDES[side] for side in sides],
        "lines": lines,
        "counts": [_counts(rows, side) for side in sides],
        "legend": [{"sign": sign, "word": word, "tone": tone} for sign, word, tone in CAUGHT.values()],
    }


def _cell(index: int, row: Row) -> Context:
    sign, word, tone = CAUGHT.get(row["caught"], (row["caught"], row["caught"], "plain"))
    message = " ".join(str(row["message"] or "").split())
    return {
        "id": f"faults-{index}",
        "sign": sign,
        "word": word + (f" ({row['by']})" if row.get("by") else ""),
        "tone": tone,
        "short": message if len(message) <= LONGEST else message[: LONGEST - 1] + "…",
        "seconds": text.seconds(row["seconds"]) if row["seconds"] is not None else "",
        "source": row.get("source") or "",
        "warning": row.get("warning") or "",
        "shipped": f"as shipped: {CAUGHT[row['shipped']][1]}" if _only_by_tool(row) else "",
        "diff": row.get("diff") or "",
    }


def _only_by_tool(row: Row) -> bool:
    """True when the build that a user gets lets the mistake pass, and only a tool's build finds it."""
    return row["caught"] == "sanitizer" and row.get("shipped") in CAUGHT


def _empty() -> Context:
    return {"id": None, "sign": "–", "word": "not in this pack", "tone": "muted", "short": "", "seconds": "",
            "source": "", "warning": "", "shipped": "", "diff": ""}  # fmt: skip


def _counts(rows: list[Row], side: str) -> list[str]:
    found = Counter(row["caught"] for row in rows if row["side"] == side)
    return [f"{CAUGHT[word][1]} {found[word]}" for word in CAUGHT if found[word]]
