"""What must be installed to build and to run each route, and what survives an upgrade."""

from __future__ import annotations

from evidence.analyse import text
from evidence.analyse.routes import order
from evidence.pack import Pack, Row
from evidence.render.common import Context

OUTCOMES = {
    "works": ("✓", "works", "yes"),
    "refused": ("!", "refused with a reason", "part"),
    "fails": ("✗", "fails", "no"),
    "crash": ("✗", "crash", "no"),
    "did not run": ("–", "did not run", "muted"),
}
METHODS = {"loaded": "loaded for real", "symbols": "from the symbol tables", "did not run": "did not run"}
PURPOSES = ("build", "run")


def footprint_table(pack: Pack) -> Context:
    """Per route what it takes to build and to run: bytes, and packages by kind; and every row."""
    rows = pack.rows("footprint")
    lines = []
    for route in sorted({row["route"] for row in rows}, key=order):
        line: Context = {"route": route}
        for purpose in PURPOSES:
            line[purpose] = _sum([row for row in rows if row["route"] == route and row["purpose"] == purpose])
        lines.append(line)
    details = [
        {
            "id": f"footprint-{index}",
            "route": row["route"],
            "purpose": row["purpose"],
            "package": row["package"],
            "version": row["version"] or "–",
            "size": text.size(row["bytes"]),
            "files": "–" if row["files"] is None else f"{row['files']:,}",
            "kind": row["kind"],
            "message": row.get("message") or "",
        }
        for index, row in enumerate(rows)
    ]
    return {"lines": lines, "details": details}


def _sum(some: list[Row]) -> Context:
    if not some:
        return {"size": "–", "note": "no rows"}
    known = [row["bytes"] for row in some if row["bytes"] is not None]
    kinds = {kind: sum(row["kind"] == kind for row in some) for kind in dict.fromkeys(row["kind"] for row in some)}
    note = ", ".join(text.count(number, kind) for kind, number in kinds.items())
    unknown = len(some) - len(known)
    if unknown:
        note += f"; the size of {unknown} is not known"
    return {"size": text.size(sum(known)) if known else "–", "note": note}


def upgrade_table(pack: Pack) -> list[Context]:
    """Every artifact under every other version: outcome, message, and the symbols that decide it."""
    lines = []
    for index, row in enumerate(pack.rows("upgrade")):
        sign, word, tone = OUTCOMES.get(row["outcome"], (row["outcome"], row["outcome"], "plain"))
        lines.append({
            "id": f"upgrade-{index}",
            "artifact": row["artifact"],
            "route": row["route"],
            "built": row["built_with"],
            "under": row["loaded_under"],
            "method": METHODS.get(row["method"], row["method"]),
            "sign": sign,
            "word": word,
            "tone": tone,
            "message": row["message"] or "",
            "symbols": _symbols(row),
            "examples": ", ".join(row.get("examples") or []),
        })  # fmt: skip
    return lines


def _symbols(row: Row) -> str:
    names = (("symbols_needed", "needed"), ("symbols_stable", "promised stable"), ("symbols_unstable", "not promised"))
    return ", ".join(f"{row[key]:,} {word}" for key, word in names if row.get(key) is not None)
