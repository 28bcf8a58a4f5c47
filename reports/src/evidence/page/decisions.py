"""Which side for which decision: what each criterion adds, which requirement a side does not meet, what flips it."""

from __future__ import annotations

import math

from evidence.core import text
from evidence.core.interval import interval
from evidence.core.pack import Pack, Row
from evidence.core.routes import CPP, MOJO, SIDE_NAMES
from evidence.judge.comparison import NOT_MEASURED
from evidence.page.common import Context, pointers


def decisions(pack: Pack) -> list[Context]:
    """Every decision question, in pack order. A factor above 1 favours Mojo."""
    return [_decision(index, row) for index, row in enumerate(pack.rows("decisions"))]


def _decision(index: int, row: Row) -> Context:
    favours = row["favours"]
    return {
        "id": f"decisions-{index}",
        "question": row["question"],
        "verdict": row["verdict"],
        "tone": favours or ("absent" if row["verdict"] == NOT_MEASURED else "plain"),
        "by": "" if favours is None else towards(row["factor"], row.get("factor_low"), row.get("factor_high")),
        "short": "" if favours is None else _short(row["factor"]),
        **_why(row),
        "evidence": row["evidence"],
        "rule": row["rule"],
        "flips": row["flips"],
        "criteria": _criteria(row["criteria"]),
        "gates": [_gate(gate) for gate in row["gates"]],
        "links": pointers(row["rows"]),
    }


def sensitivity(pack: Pack) -> Context | None:
    """Criteria against questions: the verdict when that criterion's weight doubles."""
    rows = [row for row in pack.rows("decisions") if row["sensitivity"]]
    if not rows:
        return None
    criteria = list(dict.fromkeys(one["criterion"] for row in rows for one in row["sensitivity"]))
    doubled = [{one["criterion"]: one for one in row["sensitivity"]} for row in rows]
    return {
        "questions": [row["question"] for row in rows],
        "verdicts": [row["verdict"] for row in rows],
        "lines": [{"name": name, "cells": [_doubled(some.get(name)) for some in doubled]} for name in criteria],
    }


def _doubled(one: Row | None) -> Context:
    if one is None:
        return {"text": "–", "flips": False}
    return {"text": one["verdict"] if one["flips"] else "stays", "flips": one["flips"]}


def towards(factor: float | None, low: float | None = None, high: float | None = None) -> str:
    """`3.2x (3 to 3.5) for C++`: the factor as seen from the side that it favours."""
    value = interval(factor, low, high)
    if value is None:
        return "–"
    side = MOJO if value.mid >= 1 else CPP
    seen = value if side == MOJO else value.inverse()
    words = text.factor(seen.mid) if seen.low == seen.high else text.ratio(seen)
    return f"{words} for {SIDE_NAMES[side]}"


def _why(row: Row) -> Context:
    """What a manager needs to know of a verdict: why nobody is favoured, what would change it, or what is missing."""
    if row["verdict"] == NOT_MEASURED or not row["flips"]:
        return {"why": row["evidence"], "more": ""}
    if row["favours"] is None and row.get("reason"):
        return {"why": row["reason"], "more": "what would change it"}
    rest = len(row["flips"]) - 1
    return {"why": f"Would change it: {row['flips'][0]}", "more": f"and {rest} more" if rest else ""}


def _short(factor: float | None) -> str:
    """The factor alone, seen from the side that it favours; its interval stands in the question's own section."""
    return "" if factor is None else f"by {text.factor(max(factor, 1 / factor))}"


def _criteria(rows: list[Row]) -> list[Context]:
    """Criteria with what each adds to the mean, and for which side."""
    parts = [_added(row) for row in rows]
    longest = max((abs(part) for part in parts), default=0.0) or 1.0
    lines = []
    for row, part in zip(rows, parts, strict=True):
        lines.append({
            "name": row["name"],
            "why": row.get("why") or "",
            "weight": text.tick(text.short(row["weight"])),
            "factor": towards(row["factor"], row["low"], row["high"]),
            "side": (MOJO if part > 0 else CPP) if part else "plain",
            "width": f"{100 * abs(part) / longest:.0f}",
            "adds": towards(math.exp(part)) if part else ("nothing" if row["factor"] is not None else "–"),
            "message": row.get("message") or "",
            "links": pointers(row["rows"]),
        })  # fmt: skip
    return lines


def _added(row: Row) -> float:
    """Logarithm of what a criterion adds to the weighted mean: as recorded, after the rule's limits."""
    adds = row.get("adds")
    return math.log(adds) if adds else 0.0


def _gate(row: Row) -> Context:
    met = row["met"]
    sign, word, tone = ("✓", "met", "yes") if met else ("✗", "not met", "no")
    if met is None:
        sign, word, tone = "–", NOT_MEASURED, "muted"
    return {
        "requirement": row["requirement"],
        "side": SIDE_NAMES.get(row["side"], row["side"]),
        "sign": sign,
        "word": word,
        "tone": tone,
        "evidence": row["evidence"],
        "links": pointers(row.get("rows") or []),
    }
