"""Run time in tables: one line an op, where routes overtake eager, and every row."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDES, order
from evidence.page.common import Context, anchor, spread_range, time_words
from evidence.sections.runtime.cases import Case, crossovers, headline


def per_op(all_cases: list[Case]) -> list[Context]:
    """One line an op and device: both representatives against eager and each other, each documented route against the
    representative of its side."""
    rows = []
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in all_cases:
        if case.mode == "call":
            groups.setdefault((case.op, case.device), []).append(case)
    for (op, device), some in groups.items():
        duels = [duel for case in some if (duel := case.duel())]
        counted = [duel for duel in duels if duel.decides]
        wins = sum(duel.ratio.above_one for duel in counted)
        losses_ = sum(duel.ratio.below_one for duel in counted)
        row: Context = {"op": op, "device": device}
        for side in SIDES:
            found = headline(side, some)
            row[side] = spread_range(found.everything)
            row[f"{side}_route"] = found.route or ""
            row[f"{side}_documented"] = spread_range(found.documented_to_route)
            row[f"{side}_documented_route"] = found.documented
        ratios = [duel.ratio.mid for duel in duels]
        row["duel"] = f"{text.factor(min(ratios))} to {text.factor(max(ratios))}" if ratios else "–"
        score = (("C++ wins", losses_), ("Mojo wins", wins), ("no difference shown:", len(counted) - wins - losses_))
        row["score"] = ", ".join(f"{words} {number}" for words, number in score if number)
        row["noisy"] = sum(duel.noisy for duel in duels)
        rows.append(row)
    return rows


def crossover_table(all_cases: list[Case]) -> Context:
    """Ops against routes: from which measured size a route is faster than eager (the dtype of the pictures)."""
    found = crossovers(all_cases)
    routes = sorted({one.route for one in found}, key=order)
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in found:
        lines.setdefault((one.op, one.device, one.dtype), {})[one.route] = one.text
    rows = [
        {
            "op": op,
            "device": device,
            "dtype": dtype,
            "cells": [{"route": route, "text": cells.get(route, "–")} for route in routes],
        }
        for (op, device, dtype), cells in lines.items()
    ]
    return {"routes": routes, "rows": rows}


def runtime_tables(all_cases: list[Case], rounds: Context) -> list[Context]:
    """Every run-time row, one table an op; `rounds` says which rows have their samples on the page."""
    tables: dict[str, list[Context]] = {}
    for case in all_cases:
        for route in sorted(case.cells, key=order):
            cell = case.cells[route]
            row = cell.row
            tables.setdefault(case.op, []).append({
                "id": anchor(cell.pointer),
                "samples": anchor(cell.pointer) in rounds,
                "size": case.size_class,
                "because": row.get("noisy_because") or "",
                "sample": case.label,
                "dtype": case.dtype,
                "device": case.device,
                "mode": case.mode,
                "route": route,
                "ok": cell.ok,
                "time": time_words(cell.time) if cell.ok else row["status"],
                "message": row.get("message") or "",
                "eager": "1" if route == "eager" else text.ratio_words(cell.to_eager),
                "cpp": "1" if route == "cpp" else text.ratio_words(cell.to_cpp),
                "rate": f"{text.short(row['gb_per_s'])} GB/s" if row.get("gb_per_s") is not None else "–",
                "roof": f"{row['roofline_share']:.0%}" if row.get("roofline_share") is not None else "–",
                "pairs": row.get("pairs") or "–",
                "processes": row.get("processes") or "–",
                "bound": row.get("bound") or "",
                "noisy": cell.noisy,
                "represents": cell.ok and route in (case.representative(CPP), case.representative(MOJO)),
            })  # fmt: skip
    return [{"op": op, "rows": rows} for op, rows in tables.items()]


def noise_table(pack: Pack) -> list[Context]:
    """The band of every group of rows: what the spread between processes alone can produce."""
    return [
        {
            "id": f"noise-{index}",
            "route": row["route"],
            "base": row["base"],
            "mode": row["mode"],
            "size": row["size_class"],
            "device": row["device"],
            "rows": row["rows"],
            "dof": "–" if row["dof"] is None else text.short(row["dof"]),
            "sd": "–" if row["sd"] is None else f"{row['sd']:.1%}",
            "band": "–" if row["band"] is None else f"{text.short(1 / row['band'])} to {text.factor(row['band'])}",
        }
        for index, row in enumerate(pack.rows("noise"))
    ]


def roofline_table(pack: Pack) -> list[Context]:
    """Copy bandwidth and matmul rate of this machine, measured in the same run."""
    return [
        {
            "id": f"roofline-{index}",
            "device": row["device"],
            "kind": row["kind"],
            "dtype": row["dtype"],
            "threads": "–" if row["threads"] is None else row["threads"],
            "working": text.size(row.get("bytes")),
            "rate": "–" if row["value"] is None else f"{text.short(row['value'])} {row['unit']}",
            "range": "–" if row["low"] is None else f"{text.short(row['low'])} to {text.short(row['high'])}",
            "message": row.get("message") or "",
        }
        for index, row in enumerate(pack.rows("roofline"))
    ]
