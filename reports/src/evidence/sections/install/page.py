"""What must be installed to build and to run each route, and what survives an upgrade."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack, Row
from evidence.page.common import Context
from evidence.sections.install.totals import PURPOSES, Total, footprint_totals, torch_note

OUTCOMES = {
    "works": ("✓", "works", "yes"),
    "refused": ("!", "refused with a reason", "part"),
    "fails": ("✗", "fails", "no"),
    "crash": ("✗", "crash", "no"),
    "did not run": ("–", "did not run", "muted"),
}
METHODS = {
    "loaded": "loaded for real",
    "alone": "loaded for real, with nothing else installed",
    "compiled": "sources compiled",
    "symbols": "from the symbol tables",
    "did not run": "did not run",
}


def footprint_table(pack: Pack) -> Context:
    """Per route what it takes to build and to run beside PyTorch, and in all; and every row."""
    rows = pack.rows("footprint")
    lines: dict[str, Context] = {}
    for total in footprint_totals(pack):
        empty: Context = {purpose: {"size": "–", "note": "nothing recorded"} for purpose in PURPOSES}
        lines.setdefault(total.route, {"route": total.route, **empty})[total.purpose] = _total(total)
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
    return {"lines": list(lines.values()), "details": details, "torch": torch_note(pack)}


def _total(total: Total) -> Context:
    """What a route asks for beside PyTorch; the note takes it apart."""
    parts = [text.count(total.package_count, "package") + f" {text.size(total.packages)}"] if total.packages else []
    if total.system:
        parts.append(f"{text.count(total.system_count, 'system package')} {text.size(total.system)}")
    if total.artifacts:
        parts.append(f"built here {text.size(total.artifacts)}")
    if total.uncounted:
        parts.append(f"not counted: {', '.join(total.uncounted)}")
    return {
        "size": text.size(total.beside_torch) if total.beside_torch else "nothing",
        "note": "; ".join([*parts, f"in all {text.size(total.size)}"]),
    }


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
