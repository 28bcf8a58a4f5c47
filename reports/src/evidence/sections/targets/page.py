"""The targets matrix as a page shows it: by target and side, then op by op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evidence.core import text
from evidence.core.pack import Pack, Row
from evidence.page.common import Context
from evidence.sections.targets.processors import BY_NAME

SIDES = {"cpp": "C++, CUDA, HIP", "mojo": "Mojo through MAX", "mojo_aot": "Mojo, mojo build"}

STATES = {
    "built": ("✓", "builds", "yes"),
    "failed": ("✗", "does not build", "no"),
    "no source": ("∅", "no source for it", "no"),
    "no tool chain": ("–", "no toolchain", "muted"),
    "did not run": ("○", "did not run", "muted"),
}
"""Sign, word and tone of a row; sign and word carry the meaning."""

LONGEST = 180


def targets_table(pack: Pack) -> Context:
    """Targets as lines with a cell for each side; ops as lines with a sign for each target and side; every row."""
    rows = pack.rows("targets")
    given = {row["target"] for row in rows}
    names = [name for name in BY_NAME if name in given] + sorted(given - set(BY_NAME))
    sides = [side for side in SIDES if any(row["side"] == side for row in rows)]
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["target"], row["side"]), []).append(row)
    by_key = {(row["op"], row["target"], row["side"]): row for row in rows}
    ops = list(dict.fromkeys(row["op"] for row in rows))
    return {
        "sides": [SIDES[side] for side in sides],
        "names": names,
        "lines": [
            {
                "name": name,
                "what": BY_NAME[name].what if name in BY_NAME else "",
                "cells": [_cell(cells.get((name, side), [])) for side in sides],
            }
            for name in names
        ],
        "ops": [
            {"op": op, "cells": [[_sign(by_key.get((op, name, side))) for side in sides] for name in names]}
            for op in ops
        ],
        "legend": [{"sign": sign, "word": word, "tone": tone} for sign, word, tone in STATES.values()],
        "order": ", ".join(SIDES[side] for side in sides),
        "rows": [_row(row, f"targets-{index}") for index, row in enumerate(rows)],
        "commit": other_commit(pack),
    }


def _cell(some: list[Row]) -> Context:
    """What became of all ops of one target on one side."""
    if not some:
        return {"sign": "·", "word": "not tried", "tone": "muted", "notes": []}
    counts = Counter(row["status"] for row in some)
    worst = next(state for state in ("failed", *STATES) if counts[state])
    sign, word, tone = STATES[worst]
    built = counts["built"]
    if 0 < built < len(some):
        sign, tone = "◐", "part"
    words = f"{built} of {text.count(len(some), 'op')}" if built else word
    return {"sign": sign, "word": words, "tone": tone, "notes": list(_notes(some))}


def _notes(some: list[Row]) -> Iterator[str]:
    built = [row for row in some if row["status"] == "built"]
    if built:
        together = max(row["together"] for row in built) > 1
        seconds = max(row["seconds"] for row in built) if together else sum(row["seconds"] for row in built)
        yield f"{text.seconds(seconds)}{' for all at once' if together else ' in all'}"
        size = sum(row["bytes"] or 0 for row in built)
        if size:
            yield text.size(size)
        yield built[0]["tool"]
        if lines := sum(row["target_lines"] or 0 for row in built):
            yield f"{text.count(lines, 'line')} for it alone, summed over the ops"
        if any(row["untranslated"] is not None for row in built):
            yield f"{text.count(sum(row['untranslated'] or 0 for row in built), 'line')} left untranslated"
    for message, _ in Counter(row["message"] for row in some if row["message"]).most_common(3):
        failed = [row["op"] for row in some if row["message"] == message]
        which = f" ({', '.join(failed)})" if built else ""
        yield f"{message if len(message) <= LONGEST else message[: LONGEST - 1] + '…'}{which}"


def _sign(row: Row | None) -> Context:
    if row is None:
        return {"sign": "·", "word": "not tried", "tone": "muted"}
    sign, word, tone = STATES[row["status"]]
    return {"sign": sign, "word": word, "tone": tone}


def _row(row: Row, identity: str) -> Context:
    sign, word, tone = STATES[row["status"]]
    return {
        "id": identity,
        "op": row["op"],
        "side": SIDES[row["side"]],
        "target": row["target"],
        "sign": sign,
        "word": word,
        "tone": tone,
        "seconds": "–" if row["seconds"] is None else text.seconds(row["seconds"]),
        "together": row["together"],
        "size": "–" if row["bytes"] is None else text.size(row["bytes"]),
        "lines": "–" if row["target_lines"] is None else str(row["target_lines"]),
        "proof": row["proof"] or "",
        "message": row["message"] or "",
        "tool": row["tool"] or "",
    }


def other_commit(pack: Pack) -> str | None:
    """A sentence where the matrix and the rest of a pack are of different commits."""
    mine, rest = pack.facts("settings").get("targets_commit"), pack.facts("versions").get("commit")
    if not mine or not rest or mine == rest:
        return None
    return f"The matrix is of commit {str(mine)[:12]}, the rest of the pack of {str(rest)[:12]}."
