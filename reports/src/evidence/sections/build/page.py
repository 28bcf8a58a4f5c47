"""Build stages and code size in tables: corresponding stages and buckets on one line."""

from __future__ import annotations

from evidence.core import text
from evidence.sections.code.table import BUCKETS, Effort, code, code_ops, code_routes, effort
from evidence.sections.build.table import KIND_NAMES, Stage, build_routes
from evidence.core.pack import Pack, Row
from evidence.page.common import Context, anchor


def build_table(table: dict[str, dict[str, Stage]]) -> Context:
    """Stages against routes: corresponding stages on one line."""
    routes = build_routes(table)
    rows = []
    for kind, stages in table.items():
        cells = []
        for route in routes:
            stage = stages.get(route)
            if stage is None:
                cells.append({"id": None, "text": "–", "note": ""})
                continue
            note = ""
            if stage.time:
                words = text.seconds(stage.time.mid)
                spread = f"{text.seconds(stage.time.low)} to {text.seconds(stage.time.high)}"
                note = f"{spread}, {stage.row['repeats']} runs" if stage.row["repeats"] > 1 else "1 run"
                note += "".join(f", {fact}" for fact in _beside(stage))
            else:
                words = stage.status
            if stage.message:
                note = f"{note}; {stage.message}" if note else stage.message
            cells.append({"id": anchor(stage.pointer), "text": words, "note": note})
        rows.append({"name": KIND_NAMES.get(kind, kind.replace("_", " ")), "cells": cells})
    return {"routes": routes, "rows": rows}


def _beside(stage: Stage) -> list[str]:
    """What a stage cost beside its time: memory, CPU seconds, what it made or installed."""
    row = stage.row
    facts = []
    if row["peak_mb"]:
        facts.append(f"peak {text.size(row['peak_mb'] * 1e6)}")
    if row.get("cpu_seconds"):
        facts.append(f"CPU {text.seconds(row['cpu_seconds'])}")
    if row.get("artifact_bytes"):
        facts.append(f"makes {text.size(row['artifact_bytes'])}")
    if row.get("packages") is not None:
        facts.append(text.count(row["packages"], "package"))
    if row.get("install_bytes"):
        facts.append(f"installs {text.size(row['install_bytes'])}")
    return facts


def code_table(pack: Pack) -> Context:
    """Tokens of routes against buckets, own and shared, with gzip bytes and lines; and the rows themselves."""
    rows = []
    for route in code_routes(pack):
        whole = code(pack, route)
        own = [code(pack, route, bucket=bucket, shared=False).tokens for bucket in BUCKETS]
        per = len(code_ops(pack)) or 1
        rows.append({
            "route": route,
            "own": [f"{tokens:,}" for tokens in own],
            "per_op": f"{round(sum(own) / per):,}",
            "shared": f"{code(pack, route, shared=True).tokens:,}",
            "total": f"{whole.tokens:,}",
            "lines": f"{whole.lines:,}",
            "gzip": text.size(whole.gzip_bytes),
            **_further([row for row in pack.rows("code") if row["route"] == route]),
        })  # fmt: skip
    details = [
        {
            "id": f"code-{index}",
            "op": row["op"] if row["op"] is not None else "shared",
            "route": row["route"],
            "bucket": row["bucket"],
            "shared": row["shared"],
            "files": ", ".join(row["files"]) if isinstance(row["files"], list) else str(row["files"]),
            "lines": row["lines"],
            "tokens": row["tokens"],
            "gzip": row["gzip_bytes"],
            "languages": ", ".join(row.get("languages") or []) or "–",
            "complexity": "–" if row.get("complexity") is None else row["complexity"],
        }
        for index, row in enumerate(pack.rows("code"))
    ]
    return {"buckets": BUCKETS, "rows": rows, "details": details, "effort": [_effort(one) for one in effort(pack)]}


def _effort(one: Effort) -> Context:
    """What adding an op takes on a route: medians over the ops."""
    return {
        "route": one.route,
        "files": f"{one.files:,}",
        "languages": ", ".join(one.languages) or "–",
        "lines": f"{one.lines:,}",
        "gpu": f"{one.gpu_lines:,}",
        "tokens": f"{one.tokens:,}",
        "complexity": "–" if one.complexity is None else f"{one.complexity:,}",
        "names": f"{one.api_names:,}",
        "shared": f"{one.shared_lines:,}",
    }


def _further(rows: list[Row]) -> Context:
    """Languages, functions, complexity and names of the framework's API over a route's rows."""
    languages = sorted({name for row in rows for name in row.get("languages") or []})
    names = {name for row in rows for name in row.get("api_names") or []}
    functions = [row["functions"] for row in rows if row.get("functions") is not None]
    complexity = [row["complexity"] for row in rows if row.get("complexity") is not None]
    return {
        "languages": ", ".join(languages) or "–",
        "functions": f"{sum(functions):,}" if functions else "–",
        "complexity": f"{sum(complexity):,}" if complexity else "–",
        "names": f"{len(names):,}" if any(row.get("api_names") is not None for row in rows) else "–",
        "name_list": ", ".join(sorted(names)),
    }
