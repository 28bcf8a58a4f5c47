"""What the templates print: plain strings and lists, worked out from a pack. No number is formatted in a template."""

from __future__ import annotations

import re
from typing import Any

from evidence.analyse import claims as judge_claims
from evidence.analyse import text, verdict
from evidence.analyse.losses import Loss, counts, losses, rival_of
from evidence.analyse.numbers import Interval, Spread, interval
from evidence.analyse.routes import CPP, DOCUMENTED, MOJO, SIDE_NAMES, SIDES, WHAT, order, side_of
from evidence.analyse.runtime import Case, Headline, called, cases, crossovers, headline
from evidence.analyse.stages import (
    BUCKETS,
    KIND_NAMES,
    Stage,
    build,
    build_routes,
    code,
    code_ops,
    code_routes,
    dispatch,
    failed_builds,
    speaks_for,
)
from evidence.analyse.thresholds import BUILD_SECONDS_MATTER, MATTERS
from evidence.analyse.verdict import CPP_AHEAD, MOJO_AHEAD, NOT_MEASURED
from evidence.pack import COMPLETE, FACT_SECTIONS, RAN, SECTIONS, Pack, Row
from evidence.render.integration import integration_table
from evidence.render.lab import MODES, lab_context
from evidence.render.style import colour

Context = dict[str, Any]


def context(pack: Pack) -> Context:
    """Everything that `report.html` and `report.md` print, apart from the pictures."""
    all_cases = cases(pack)
    table = build(pack)
    return {
        "created": pack.created_utc.replace("T", " ").replace("Z", " UTC"),
        "partial": pack.status != COMPLETE,
        "missing": _missing(pack),
        "machine_line": _machine_line(pack),
        "quick": bool(pack.facts("settings").get("quick")),
        "failed_builds": _failed(table),
        "statements": [_statement(row) for row in _verdict_rows(pack)],
        "cards": cards(pack, all_cases),
        "per_op": per_op(all_cases),
        "crossovers": crossover_table(all_cases),
        "dispatch": dispatch_table(pack),
        "lab": lab_context(pack),
        "integration": integration_table(pack),
        "build": build_table(table),
        "code": code_table(pack),
        "losses": loss_lists(pack, all_cases),
        "correctness": correctness_table(pack),
        "runtime": runtime_tables(all_cases),
        "claims": [_claim(row) for row in _claim_rows(pack)],
        "facts": {name: flat(pack.facts(name)) for name in FACT_SECTIONS},
        "states": {name: {"status": pack.section_status(name), "reason": pack.reason(name)} for name in SECTIONS},
        "extra": {name: loose_table(pack.rows(name)) for name in ("targets", "footprint", "faults", "models")},
        "matters": f"{MATTERS - 1:.0%}",
        "routes": [_route(name) for name in _routes(pack)],
    }


def _route(name: str) -> Context:
    documented = any(name in routes for routes in DOCUMENTED.values())
    return {"name": name, "what": WHAT.get(name, ""), "colour": colour(name), "documented": documented}


def _verdict_rows(pack: Pack) -> list[Row]:
    """The verdict as recorded; computed here for a pack that an interruption left without."""
    if pack.section_status("verdict") == RAN:
        return pack.rows("verdict")
    return [statement.row() for statement in verdict(pack)]


def _claim_rows(pack: Pack) -> list[Row]:
    return pack.rows("claims") if pack.section_status("claims") == RAN else judge_claims(pack)


def _routes(pack: Pack) -> list[str]:
    named = {row["route"] for section in ("runtime", "dispatch", "build", "code") for row in pack.rows(section)}
    return sorted(named, key=order)


def _failed(table: dict[str, dict[str, Stage]]) -> list[tuple[str, str]]:
    """Routes that did not build, joined where the reason is the same, with the reason."""
    reasons: dict[str, list[str]] = {}
    for route, message in failed_builds(table).items():
        reasons.setdefault(message, []).append(route)
    return [(", ".join(sorted(routes, key=order)), message) for message, routes in reasons.items()]


def _missing(pack: Pack) -> list[Context]:
    """Reason -> sections, so that one reason is said once."""
    reasons: dict[str, list[str]] = {}
    for entry in pack.missing:
        if entry["section"] not in ("claims", "verdict"):
            reasons.setdefault(entry["reason"], []).append(entry["section"])
    return [{"reason": reason, "sections": names} for reason, names in reasons.items()]


def _machine_line(pack: Pack) -> list[str]:
    machine, versions = pack.facts("machine"), pack.facts("versions")
    parts = []
    if machine.get("cpu"):
        cores = machine.get("cores_usable")
        parts.append(str(machine["cpu"]) + (f", {text.count(cores, 'core')}" if isinstance(cores, int) else ""))
    if "gpus" in machine:
        gpus = machine["gpus"]
        parts.append(", ".join(str(gpu) for gpu in gpus) if isinstance(gpus, list) and gpus else "no GPU")
    parts += [f"{name} {versions[name]}" for name in ("torch", "modular") if versions.get(name)]
    parts += [str(line) for line in versions.get("cxx") or [] if isinstance(versions["cxx"], list)]
    if versions.get("commit"):
        parts.append(f"commit {str(versions['commit'])[:9]}" + (" with local changes" if versions.get("dirty") else ""))
    return parts


def anchor(pointer: str) -> str:
    """Where a row of the pack stands on the page: `/runtime/rows/3` -> `runtime-3`, else the section."""
    parts = pointer.strip("/").split("/")
    return f"{parts[0]}-{parts[2]}" if len(parts) == 3 and parts[1] == "rows" else parts[0]


def _pointers(pointers: list[str]) -> list[Context]:
    """Links to rows, one a section: the first row of each, with the count."""
    sections: dict[str, list[str]] = {}
    for pointer in dict.fromkeys(pointers):
        sections.setdefault(pointer.strip("/").split("/")[0], []).append(pointer)
    return [
        {"href": anchor(some[0]), "text": f"{text.count(len(some), 'row')} of {name}"}
        for name, some in sections.items()
    ]


def tone(word: str) -> str:
    """CSS class of a verdict word."""
    if word.endswith(("fails", "fail")):
        return "no"
    if word in (CPP_AHEAD, MOJO_AHEAD):
        return CPP if word == CPP_AHEAD else MOJO
    return "absent" if word == NOT_MEASURED else "plain"


def _statement(row: Row) -> Context:
    return {**row, "tone": tone(row["verdict"]), "links": _pointers(row["rows"]), "exceptions": row.get("exceptions"),
            "detail": row.get("detail")}  # fmt: skip


def _claim(row: Row) -> Context:
    tones = {"holds": "yes", "holds in part": "part", "does not hold": "no"}
    return {
        "claim": None,
        "rule": None,
        **row,
        "tone": tones.get(row["verdict"], "absent"),
        "links": _pointers(row["rows"]),
    }


def _spread(value: Spread | None) -> Context | None:
    if value is None:
        return None
    note = (
        "one row" if value.count == 1 else f"{text.factor(value.low)} to {text.factor(value.high)}, {value.count} rows"
    )
    return {"big": text.factor(value.mean), "note": note}


def cards(pack: Pack, all_cases: list[Case]) -> list[Context]:
    """The three headline cards: build time, code size, run time; each figure with what stands behind it."""
    table = build(pack)
    speed = "speed relative to eager, best route, all rows as called (geometric mean)"
    builds = [_build_figure(table, side) for side in SIDES]
    codes = [_code_figure(pack, side) for side in SIDES]
    speeds = [_runtime_figure(headline(side, called(all_cases)), side) for side in SIDES]
    return [
        _card("build", "Build time", "one-line kernel edit to first correct result", builds),
        _card("code", "Code size", "code lines of all ops, with what they share", codes),
        _card("runtime", "Run time", speed, speeds),
    ]


def _card(section: str, title: str, what: str, figures: list[Context]) -> Context:
    return {"id": section, "title": title, "what": what, "figures": figures}


def _figure(side: str, route: str | None, big: str | None, notes: list[str]) -> Context:
    return {"side": side, "name": SIDE_NAMES[side], "route": route, "big": big or "–", "notes": notes}


def _build_figure(table: dict[str, dict[str, Stage]], side: str) -> Context:
    route = speaks_for(side, build_routes(table))
    if route is None:
        return _figure(side, None, None, ["not measured"])
    edit, clean, again = (table.get(kind, {}).get(route) for kind in ("edit", "clean", "noop"))
    big = text.seconds(edit.time.mid) if edit and edit.time else None
    failed = failed_builds(table).get(route)
    notes = [f"did not build: {failed}"] if failed else []
    for name, stage in (("clean", clean), ("nothing changed", again)):
        if stage and stage.time:
            notes.append(f"{name} {text.seconds(stage.time.mid)}")
    new_shape = table.get("first_call_new_shape", {})
    for name in DOCUMENTED[side]:
        first = new_shape.get(name)
        if first and first.time and first.time.mid >= BUILD_SECONDS_MATTER:
            notes.append(f"as documented ({name}) {text.seconds(first.time.mid)} for every new shape")
    shown = next((r for r in DOCUMENTED[side] if r != route and r in table.get("edit", {})), None)
    if shown and (stage := table["edit"][shown]).time:
        notes.append(f"as documented ({shown}) {text.seconds(stage.time.mid)} to edit")
    return _figure(side, route, big, notes)


def _code_figure(pack: Pack, side: str) -> Context:
    present = code_routes(pack)
    route = speaks_for(side, present)
    if route is None:
        return _figure(side, None, None, ["not measured"])
    shared = code(pack, route, shared=True).lines
    notes = [f"kernels {code(pack, route, bucket='kernel').lines:,}", f"shared {shared:,}"]
    shown = next((r for r in DOCUMENTED[side] if r != route and r in present), None)
    if shown:
        notes.append(f"as documented ({shown}) {code(pack, shown).lines:,}")
    return _figure(side, route, f"{code(pack, route).lines:,}", notes)


def _runtime_figure(found: Headline, side: str) -> Context:
    if found.everything is None:
        return _figure(side, None, None, ["not measured"])
    shown = _spread(found.to_eager) or {
        "big": "no mean",
        "note": f"{_range(found.everything)}; {found.noisy} of {text.count(found.everything.count, 'row')} noisy",
    }
    notes = [str(shown["note"])]
    if found.noisy and found.to_eager:
        notes.append(f"{found.noisy} noisy ones in no mean")
    if documented := _spread(found.documented_to_eager):
        notes.append(f"as documented ({found.documented}) {documented['big']}, {documented['note']}")
    return _figure(side, ", ".join(found.routes), str(shown["big"]), notes)


def per_op(all_cases: list[Case]) -> list[Context]:
    """One line an op and device: each side's best and documented route against eager, and Mojo against C++."""
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
            row[side] = _range(found.everything)
            row[f"{side}_routes"] = ", ".join(found.routes)
            row[f"{side}_documented"] = _range(found.documented_to_eager)
            row[f"{side}_documented_route"] = found.documented
        ratios = [duel.ratio.mid for duel in duels]
        row["duel"] = f"{text.factor(min(ratios))} to {text.factor(max(ratios))}" if ratios else "–"
        score = (("C++ wins", losses_), ("Mojo wins", wins), ("no difference shown:", len(counted) - wins - losses_))
        row["score"] = ", ".join(f"{words} {number}" for words, number in score if number)
        row["noisy"] = sum(duel.noisy for duel in duels)
        rows.append(row)
    return rows


def _range(value: Spread | None) -> str:
    return "–" if value is None else f"{text.factor(value.low)} to {text.factor(value.high)}"


def crossover_table(all_cases: list[Case]) -> Context:
    """Ops against routes: from which measured size a route is faster than eager (the dtype of the pictures)."""
    found = crossovers(all_cases)
    routes = sorted({one.route for one in found}, key=order)
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in found:
        lines.setdefault((one.op, one.device, one.dtype), {})[one.route] = one.text
    rows = [{"op": op, "device": device, "dtype": dtype, "cells": [cells.get(route, "–") for route in routes]}
            for (op, device, dtype), cells in lines.items()]  # fmt: skip
    return {"routes": routes, "rows": rows}


def dispatch_table(pack: Pack) -> list[Context]:
    """Every dispatch row."""
    return [
        {
            "id": anchor(row.pointer),
            "route": row.route,
            "mode": MODES[row.mode],
            "tensors": row.row["tensors"],
            "threads": row.row["threads"],
            "openmp": row.row["openmp"],
            "eager": text.ratio(
                interval(row.row.get("ratio_to_eager"), row.row.get("ratio_low"), row.row.get("ratio_high"))
            ),
            "time": _time(row.time) if row.time else row.message or row.status,
            "noisy": row.noisy,
        }
        for row in dispatch(pack)
    ]


def _time(value: Interval | None) -> str:
    if value is None:
        return "–"
    if value.low == value.high:
        return text.micros(value.mid)
    return f"{text.micros(value.mid)} ({text.micros(value.low)} to {text.micros(value.high)})"


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
                if stage.row["peak_mb"]:
                    note += f", peak {text.size(stage.row['peak_mb'] * 1e6)}"
            else:
                words = stage.status
            if stage.message:
                note = f"{note}; {stage.message}" if note else stage.message
            cells.append({"id": anchor(stage.pointer), "text": words, "note": note})
        rows.append({"name": KIND_NAMES.get(kind, kind), "cells": cells})
    return {"routes": routes, "rows": rows}


def code_table(pack: Pack) -> Context:
    """Routes against buckets, own and shared; and the rows themselves."""
    rows = []
    for route in code_routes(pack):
        whole = code(pack, route)
        own = [code(pack, route, bucket=bucket, shared=False).lines for bucket in BUCKETS]
        per = len(code_ops(pack)) or 1
        rows.append({
            "route": route,
            "own": [f"{lines:,}" for lines in own],
            "per_op": text.short(sum(own) / per),
            "shared": f"{code(pack, route, shared=True).lines:,}",
            "total": f"{whole.lines:,}",
            "tokens": f"{whole.tokens:,}",
            "gzip": text.size(whole.gzip_bytes),
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
        }
        for index, row in enumerate(pack.rows("code"))
    ]
    return {"buckets": BUCKETS, "rows": rows, "details": details}


def loss_lists(pack: Pack, all_cases: list[Case]) -> list[Context]:
    """Per side: how many losses of each kind, and every one of them, worst first."""
    lists = []
    measured = {side: any(side_of(route) == side for route in _routes(pack)) for side in SIDES}
    for side, found in losses(pack, all_cases).items():
        lists.append({
            "side": side,
            "name": SIDE_NAMES[side],
            "measured": measured[side],
            "counts": [f"{name}: {number}" for name, number in sorted(counts(found))],
            "rows": [_loss(loss) for loss in found],
        })  # fmt: skip
    return lists


def _loss(loss: Loss) -> Context:
    kind = f"run time against {rival_of(loss)}" if loss.kind == "run time" else loss.kind
    exact = loss.factor.low == loss.factor.high
    return {
        "kind": kind,
        "what": loss.what,
        "routes": f"{loss.route} against {loss.against}",
        "factor": text.factor(loss.factor.mid) if exact else text.ratio(loss.factor),
        "noisy": loss.noisy,
        "links": _pointers(list(loss.rows)),
    }


def correctness_table(pack: Pack) -> Context:
    """Routes against ops: passed of run, with the first message of a failure."""
    ops = list(dict.fromkeys(row["op"] for row in pack.rows("correctness")))
    lines: dict[str, dict[str, list[Row]]] = {}
    for index, row in enumerate(pack.rows("correctness")):
        lines.setdefault(row["route"], {}).setdefault(row["op"], []).append({**row, "id": f"correctness-{index}"})
    rows = []
    for route in sorted(lines, key=order):
        cells = []
        for op in ops:
            some = lines[route].get(op, [])
            passed, failed, skipped = (sum(row[key] for row in some) for key in ("passed", "failed", "skipped"))
            words = "–" if not some else f"{passed} of {passed + failed}" + (f", {skipped} skipped" if skipped else "")
            messages = [f"{row['dtype']}: {row['message']}" for row in some if row["message"]]
            cells.append(
                {"ids": [row["id"] for row in some], "text": words, "failed": bool(failed), "note": "; ".join(messages)}
            )
        rows.append({"route": route, "cells": cells})
    return {"ops": ops, "rows": rows}


def runtime_tables(all_cases: list[Case]) -> list[Context]:
    """Every run-time row, one table an op."""
    tables: dict[str, list[Context]] = {}
    for case in all_cases:
        for route in sorted(case.cells, key=order):
            cell = case.cells[route]
            row = cell.row
            tables.setdefault(case.op, []).append({
                "id": anchor(cell.pointer),
                "sample": case.label,
                "dtype": case.dtype,
                "device": case.device,
                "mode": case.mode,
                "route": route,
                "ok": cell.ok,
                "time": _time(cell.time) if cell.ok else row["status"],
                "message": row.get("message") or "",
                "eager": "1" if route == "eager" else text.ratio_words(cell.to_eager),
                "cpp": "1" if route == "cpp" else text.ratio_words(cell.to_cpp),
                "rate": f"{text.short(row['gb_per_s'])} GB/s" if row.get("gb_per_s") is not None else "–",
                "roof": f"{row['roofline_share']:.0%}" if row.get("roofline_share") is not None else "–",
                "pairs": row.get("pairs") or "–",
                "noisy": cell.noisy,
                "best": cell.ok and route in (case.best(CPP), case.best(MOJO)),
            })  # fmt: skip
    return [{"op": op, "rows": rows} for op, rows in tables.items()]


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
