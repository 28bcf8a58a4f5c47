"""The fault table: what each side does with the same mistake, and where it is noticed."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO
from evidence.page.common import Context, anchor
from evidence.sections.faults.readings import Fault, faults, summary

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
    found = faults(pack)
    sides = [side for side in SIDES if any(side in fault.rows for fault in found)]
    counts = summary(pack)
    return {
        "sides": [SIDES[side] for side in sides],
        "lines": [
            {
                "name": fault.title,
                "told": fault.mistake,
                "fault": fault.name,
                "cells": [_cell(fault, side) if side in fault.rows else _empty() for side in sides],
            }
            for fault in found
        ],
        "counts": [[f"{CAUGHT[word][1]} {number}" for word, number in counts[side].items()] for side in sides],
        "legend": [{"sign": sign, "word": word, "tone": tone} for sign, word, tone in CAUGHT.values()],
    }


def _cell(fault: Fault, side: str) -> Context:
    row = fault.rows[side]
    sign, word, tone = CAUGHT.get(row["caught"], (row["caught"], row["caught"], "plain"))
    message = " ".join(str(row["message"] or "").split())
    return {
        "id": anchor(fault.pointers[side]),
        "sign": sign,
        "word": word + (f" ({row['by']})" if row.get("by") else ""),
        "tone": tone,
        "short": message if len(message) <= LONGEST else message[: LONGEST - 1] + "…",
        "seconds": text.seconds(row["seconds"]) if row["seconds"] is not None else "",
        "source": row.get("source") or "",
        "warning": row.get("warning") or "",
        "shipped": f"as shipped: {CAUGHT[fault.shipped(side)][1]}" if fault.caught(side) == "sanitizer" else "",
        "diff": row.get("diff") or "",
    }


def _empty() -> Context:
    return {"id": None, "sign": "–", "word": "not in this pack", "tone": "muted", "short": "", "seconds": "",
            "source": "", "warning": "", "shipped": "", "diff": ""}  # fmt: skip
