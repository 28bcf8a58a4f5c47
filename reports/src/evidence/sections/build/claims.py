"""Claims about building, installing and keeping a build: edit loop, barrier, footprint, rebuilds."""

from __future__ import annotations

from evidence.core import text
from evidence.sections.build.ratio import build_ratio
from evidence.sections.install.totals import footprint_totals
from evidence.judge.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    NOT_MEASURED,
    Judgement,
    judges,
    pointed,
    pointers,
    word,
)
from evidence.core.routes import CPP, MOJO, measured_representative, order, representative, side_of
from evidence.sections.build.table import build, build_routes
from evidence.core.thresholds import BUILD_MATTERS, SIZE_MATTERS
from evidence.core.pack import Pack


@judges("dev-loop")
def dev_loop(pack: Pack) -> Judgement | None:
    """C++ against Mojo, edit to first correct result and clean build: holds when C++ is shown to be slower by a
    factor of {BUILD_MATTERS} or more in both, in part in one of them. A stage that ran once counts as known to a
    factor of {SINGLE_RUN}."""
    table = build(pack)
    present = build_routes(table)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    if cpp is None or mojo is None:
        return None
    slower, parts, rows = 0, [], []
    for kind, name in (("edit", "Edit to result"), ("clean", "clean build")):
        ratio = build_ratio(table, kind, mojo, cpp)
        if ratio is None:
            continue
        slower += ratio.above_one and ratio.mid >= BUILD_MATTERS
        one, two = table[kind][cpp], table[kind][mojo]
        rows += [one.pointer, two.pointer]
        if one.time and two.time:
            parts.append(f"{name} {text.seconds(one.time.mid)} in C++, {text.seconds(two.time.mid)} in Mojo")
    if not parts:
        return None
    return Judgement(word(slower, len(parts)), "; ".join(parts) + ".", rows)


@judges("barrier")
def barrier(pack: Pack) -> Judgement | None:
    """What must be installed beside PyTorch before the first build, C++ against Mojo: packages, bytes and seconds.
    Holds when C++ needs more by a factor of {SIZE_MATTERS} in all of them, in part in some. Hours that people spend are
    not in a pack."""
    table = build(pack)
    # the counts stand without seconds too: an installation may not be possible here
    stages = {
        route: stage
        for route, stage in table.get("prerequisites", {}).items()
        if stage.row.get("install_bytes") is not None
    }
    cpp, mojo = measured_representative(CPP, stages), measured_representative(MOJO, stages)
    if cpp is None or mojo is None:
        return None
    one, two = stages[cpp].row, stages[mojo].row
    more, parts = [], []
    for key, name, words in (("packages", "packages", str), ("install_bytes", "bytes", text.size)):
        have, other = one.get(key), two.get(key)
        if have is not None and other is not None:
            more.append(have >= SIZE_MATTERS * other and have > other)
            parts.append(f"{name} {words(have)} in C++, {words(other)} in Mojo")
    ratio = build_ratio(table, "prerequisites", mojo, cpp)
    if ratio is not None:
        more.append(ratio.above_one and ratio.mid >= SIZE_MATTERS)
        parts.append(f"seconds {text.short(one['seconds_median'])} in C++, {text.short(two['seconds_median'])} in Mojo")
    if not parts:
        return None
    evidence = f"{cpp} and {mojo}: {'; '.join(parts)}."
    return Judgement(word(sum(more), len(more)), evidence, [stages[cpp].pointer, stages[mojo].pointer])


@judges("battery-included")
def battery_included(pack: Pack) -> Judgement | None:
    """System packages among what each Mojo route needs: holds when none needs one, neither to build nor to run; in part
    when none is needed to run; else it does not hold."""
    found = [one for one in footprint_totals(pack) if side_of(one.route) == MOJO]
    run = [one for one in found if one.purpose == "run"]
    build_needs = [one for one in found if one.purpose == "build"]
    if not run or not build_needs:
        return None
    to_run = sorted({name for one in run for name in one.system_names})
    to_build = sorted({name for one in build_needs for name in one.system_names})
    verdict = DOES_NOT_HOLD if to_run else IN_PART if to_build else HOLDS
    shown = next((one for one in build_needs if one.route == representative(MOJO)), build_needs[0])
    stage = build(pack).get("prerequisites", {}).get(shown.route)
    if stage and stage.row.get("install_bytes"):
        counts = f"{text.count(stage.row['packages'], 'package')}, {text.size(stage.row['install_bytes'])}"
        evidence = f"{shown.route}, the fewest packages that build it, on top of PyTorch: {counts}"
        evidence += f", of which pip installs its own in {text.seconds(stage.time.mid)}" if stage.time else ""
    else:
        counts = f"{text.count(shown.package_count + shown.system_count, 'package')}, {text.size(shown.beside_torch)}"
        evidence = f"{shown.route}, what its package declares to build it, on top of PyTorch: {counts}"
    evidence += f"; system packages to build: {_names(to_build)}; to run: {_names(to_run)}."
    return Judgement(verdict, evidence, [pointer for one in found for pointer in one.pointers])


def _names(names: list[str], most: int = 6) -> str:
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@judges("footprint")
def footprint(pack: Pack) -> Judgement | None:
    """Not judged: the two containers are not built or pulled here. The evidence says what this repository's own routes
    install to run, from package records, which is no measurement of a serving container."""
    parts, rows = [], []
    for found in footprint_totals(pack):
        if found.purpose == "run":
            parts.append(f"{found.route} {text.size(found.size)}")
            rows += list(found.pointers)
    if not parts:
        return None
    return Judgement(NOT_MEASURED, f"Of the containers nothing. To run, with PyTorch: {', '.join(parts)}.", rows)


BINARY = ("loaded", "symbols")
"""Methods that ask whether a binary survives; sources that compile again are a rebuild."""


@judges("rebuild")
def rebuild(pack: Pack) -> Judgement | None:
    """Binaries of the C++ routes under other releases of PyTorch, by loading them where that was possible, else by
    their symbol tables: holds when none works, in part when some work, does not hold when all do."""
    found = [
        one for one in pointed(pack, "upgrade") if one.row["outcome"] != "did not run" and one.row["method"] in BINARY
    ]
    cpp = [one for one in found if side_of(one.row["route"]) == CPP]
    if not cpp:
        return None
    loaded = {(one.row["artifact"], one.row["loaded_under"]) for one in cpp if one.row["method"] == "loaded"}
    # a load outweighs what the symbol table of the same artifact lets expect
    cpp = [
        one
        for one in cpp
        if one.row["method"] == "loaded" or (one.row["artifact"], one.row["loaded_under"]) not in loaded
    ]
    broken = sum(one.row["outcome"] != "works" for one in cpp)
    others = [one for one in found if side_of(one.row["route"]) == MOJO]
    some = sorted([*cpp, *others], key=lambda one: order(one.row["route"]))
    counts: dict[tuple[str, str], dict[str, list[str]]] = {}
    for one in some:
        how = (one.row["route"], "loaded" if one.row["method"] == "loaded" else "by symbols")
        counts.setdefault(how, {}).setdefault(one.row["outcome"], []).append(one.row["loaded_under"])
    said = [
        f"{route} ({how}) "
        + ", ".join(f"{outcome} under {', '.join(dict.fromkeys(under))}" for outcome, under in outcomes.items())
        for (route, how), outcomes in counts.items()
    ]
    return Judgement(word(broken, len(cpp)), "; ".join(said) + ".", pointers(some))
