"""The first screen: the machine, what is missing, the findings, and the headline cards."""

from __future__ import annotations

from evidence.analyse import text, verdict
from evidence.analyse.numbers import Spread
from evidence.analyse.routes import DOCUMENTED, SIDE_NAMES, SIDES, order
from evidence.analyse.runtime import Case, Headline, called, headline
from evidence.analyse.stages import Stage, build, build_routes, code, code_routes, failed_builds, speaks_for
from evidence.analyse.thresholds import BUILD_SECONDS_MATTER
from evidence.pack import RAN, Pack, Row
from evidence.render.common import Context, pointers, spread_range, tone


def verdict_rows(pack: Pack) -> list[Row]:
    """The verdict as recorded; computed here for a pack that an interruption left without."""
    if pack.section_status("verdict") == RAN:
        return pack.rows("verdict")
    return [statement.row() for statement in verdict(pack)]


def failed(table: dict[str, dict[str, Stage]]) -> list[tuple[str, str]]:
    """Routes that did not build, joined where the reason is the same, with the reason."""
    reasons: dict[str, list[str]] = {}
    for route, message in failed_builds(table).items():
        reasons.setdefault(message, []).append(route)
    return [(", ".join(sorted(routes, key=order)), message) for message, routes in reasons.items()]


def missing(pack: Pack) -> list[Context]:
    """Reason -> sections, so that one reason is said once."""
    reasons: dict[str, list[str]] = {}
    for entry in pack.missing:
        if entry["section"] not in ("claims", "verdict"):
            reasons.setdefault(entry["reason"], []).append(entry["section"])
    return [{"reason": reason, "sections": names} for reason, names in reasons.items()]


def machine_line(pack: Pack) -> list[str]:
    """Machine, versions and commit, as short phrases."""
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


def statement(row: Row) -> Context:
    """One finding, with the links to its rows."""
    return {**row, "tone": tone(row["verdict"]), "links": pointers(row["rows"]), "exceptions": row.get("exceptions"),
            "detail": row.get("detail")}  # fmt: skip


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
        "note": f"{spread_range(found.everything)}; {found.noisy} of {text.count(found.everything.count, 'row')} noisy",
    }
    notes = [str(shown["note"])]
    if found.noisy and found.to_eager:
        notes.append(f"{text.count(found.noisy, 'noisy row')} in no mean")
    if documented := _spread(found.documented_to_eager):
        notes.append(f"as documented ({found.documented}) {documented['big']}, {documented['note']}")
    return _figure(side, ", ".join(found.routes), str(shown["big"]), notes)
