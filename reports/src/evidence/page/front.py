"""The first screen: the machine, what is missing, the findings, and the headline cards."""

from __future__ import annotations

from msgspec import to_builtins

from evidence.core import text
from evidence.core.pack import RAN, Pack, Row
from evidence.core.routes import DOCUMENTED, SIDE_NAMES, SIDES, measured_representative, order
from evidence.core.thresholds import BUILD_SECONDS_MATTER
from evidence.judge.verdict import verdict
from evidence.page.common import Context, pointers, spread_range, tone
from evidence.sections.build.table import Stage, build, build_routes, failed_builds
from evidence.sections.code.table import code, code_routes
from evidence.sections.runtime.cases import Case, Headline, called, headline


def verdict_rows(pack: Pack) -> list[Row]:
    """The verdict as recorded; computed here for a pack that an interruption left without."""
    if pack.section_status("verdict") == RAN:
        return pack.rows("verdict")
    return [to_builtins(row) for row in verdict(pack)]


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
    exceptions = row.get("exceptions")
    return {
        **row,
        "tone": tone(row["verdict"]),
        "links": pointers(row["rows"]),
        "exceptions": text.upper_first(exceptions) if exceptions else None,
        "detail": row.get("detail"),
    }


def cards(pack: Pack, all_cases: list[Case]) -> list[Context]:
    """The three headline cards: build time, code size, run time; each figure with what stands behind it."""
    table = build(pack)
    cases = called(all_cases)
    compiled = any("compile" in case.cells and case.cells["compile"].ok for case in cases)
    base = "the faster of eager and torch.compile" if compiled else "eager; torch.compile was not timed"
    speed = f"speed relative to PyTorch ({base}), as called, geometric mean"
    builds = [_build_figure(table, side) for side in SIDES]
    codes = [_code_figure(pack, side) for side in SIDES]
    speeds = [_runtime_figure(headline(side, cases), compiled) for side in SIDES]
    return [
        _card("build", "Build time", "one-line kernel edit to first correct result", builds),
        _card("code", "Code size", "tokens of all ops with what they share, for all devices", codes),
        _card("runtime", "Run time", speed, speeds),
    ]


def _card(section: str, title: str, what: str, figures: list[Context]) -> Context:
    return {"id": section, "title": title, "what": what, "figures": figures}


def _figure(side: str, route: str | None, big: str | None, notes: list[str]) -> Context:
    return {"side": side, "name": SIDE_NAMES[side], "route": route, "big": big or "–", "notes": notes}


def _build_figure(table: dict[str, dict[str, Stage]], side: str) -> Context:
    route = measured_representative(side, build_routes(table))
    if route is None:
        return _figure(side, None, None, ["not measured"])
    edit, clean, again = (table.get(kind, {}).get(route) for kind in ("edit", "clean", "noop"))
    big = text.seconds(edit.time.mid) if edit and edit.time else None
    failed = failed_builds(table).get(route)
    notes = [f"did not build: {failed}"] if failed else []
    for name, stage in (("clean", clean), ("nothing changed", again)):
        if stage and stage.time:
            notes.append(f"{name} {text.seconds(stage.time.mid)}")
    documented = DOCUMENTED[side]
    parts = []
    for kind, name in (("edit", "edit"), ("first_call_new_shape", "every new shape")):
        stage = table.get(kind, {}).get(documented)
        if stage and stage.time and stage.time.mid >= BUILD_SECONDS_MATTER:
            parts.append(f"{name} {text.seconds(stage.time.mid)}")
    if parts:
        notes.append(f"as documented ({documented}): {', '.join(parts)}")
    return _figure(side, route, big, notes)


def _code_figure(pack: Pack, side: str) -> Context:
    present = code_routes(pack)
    route = measured_representative(side, present)
    if route is None:
        return _figure(side, None, None, ["not measured"])
    whole, kernels = code(pack, route), code(pack, route, bucket="kernel")
    of_whole, of_kernels = (f"{text.size(one.gzip_bytes)} gzip, {one.lines:,} lines" for one in (whole, kernels))
    notes = [
        of_whole,
        f"kernels with what they share {kernels.tokens:,} tokens, {of_kernels}",
        f"shared by all ops {code(pack, route, shared=True).tokens:,} tokens",
    ]
    documented = DOCUMENTED[side]
    if documented in present:
        notes.append(f"as documented ({documented}) {code(pack, documented).tokens:,} tokens")
    return _figure(side, route, f"{whole.tokens:,}", notes)


def _runtime_figure(found: Headline, compiled: bool) -> Context:
    if found.everything is None or found.route is None:
        return _figure(found.side, None, None, ["not measured"])
    if found.to_pytorch is None or found.to_eager is None:
        noisy = f"{found.noisy} of {text.count(found.rows, 'row')} noisy"
        notes = [f"{spread_range(found.everything)} relative to eager; {noisy}"]
        return _figure(found.side, found.route, "no mean", notes)
    notes = [f"{spread_range(found.to_pytorch)}, {text.count(found.to_pytorch.count, 'row')}"]
    if compiled:
        notes.append(f"relative to eager alone {text.factor(found.to_eager.mean)}, on the same rows")
    if found.noisy:
        notes.append(f"{text.count(found.noisy, 'noisy row')} not in the mean")
    if (shown := found.documented_to_route) is not None:
        rows = f"the {text.count(shown.count, 'row')} that timed the documented routes"
        notes.append(
            f"as documented ({found.documented}) {text.factor(shown.mean)} of {found.route}'s speed, on {rows}"
        )
    return _figure(found.side, found.route, text.factor(found.to_pytorch.mean), notes)
