"""What is judged from what is installed and what survives an upgrade: criteria, a gate, claims and what changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, order, representative, side_of
from evidence.core.thresholds import SIZE_MATTERS
from evidence.judge.claims import Claim
from evidence.judge.comparison import BUILD_TIME, NOT_MEASURED, comparisons, pair, select
from evidence.judge.criteria import Criterion, Measured, absent, of_bytes, of_shares
from evidence.judge.diff import Diff, change_of_rank, common
from evidence.judge.gates import Finding, Gate, of_representative
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointed, pointers, word
from evidence.judge.scope import Scope
from evidence.sections.install.row import UpgradeRow
from evidence.sections.install.totals import footprint_totals

OUTCOMES = ("works", "refused", "fails", "crash")
BINARY = ("loaded", "symbols")
"""Methods that ask whether a binary survives; sources that compile again are a rebuild."""


def fewest(pack: Pack) -> dict[str, Pointed[Any]]:
    """Route -> build stage that installed the fewest packages which build it, with or without a time."""
    stages = (stage for stage in pointed(pack, "build") if stage.row.kind == "prerequisites")
    return {stage.row.route: stage for stage in stages if stage.row.install_bytes is not None}


# criteria


def _prerequisites(scope: Scope) -> Measured:
    stages = {route: stage for route, stage in fewest(scope.pack).items() if stage.row.install_bytes}
    routes = scope.representatives(stages)
    if routes is None:
        return _sizes(scope, "build", "what the package declares to build it")
    cpp_stage, mojo_stage = (stages[route] for route in routes)
    sizes = cpp_stage.row.install_bytes or 0, mojo_stage.row.install_bytes or 0
    return of_bytes(sizes, routes, "the fewest packages that build it", pointers((cpp_stage, mojo_stage)))


def _sizes(scope: Scope, purpose: str, what: str) -> Measured:
    totals = {total.route: total for total in footprint_totals(scope.pack) if total.purpose == purpose}
    routes = scope.representatives(totals)
    if routes is None or not all(totals[route].beside_torch for route in routes):
        return absent(f"no package records of both sides for what is needed to {purpose}")
    cpp_total, mojo_total = (totals[route] for route in routes)
    unknown = len(cpp_total.uncounted) + len(mojo_total.uncounted)
    note = f", without {text.count(unknown, 'record')} of unknown size" if unknown else ""
    return of_bytes(
        (cpp_total.beside_torch, mojo_total.beside_torch),
        routes,
        what,
        (*cpp_total.pointers, *mojo_total.pointers),
        note,
    )


def _footprint(scope: Scope) -> Measured:
    return _sizes(scope, "run", "packages and the built library")


def binaries(pack: Pack) -> list[Pointed[UpgradeRow]]:
    """Rows of `upgrade` on whether a binary survives; a load outweighs what the symbol table of the same artifact lets
    expect."""
    tried = [row for row in pack.pointed(UpgradeRow) if row.row.outcome != "did not run" and row.row.method in BINARY]
    loaded = {(row.row.artifact, row.row.loaded_under) for row in tried if row.row.method == "loaded"}
    return [
        row for row in tried if row.row.method == "loaded" or (row.row.artifact, row.row.loaded_under) not in loaded
    ]


def survivals(scope: Scope) -> dict[str, dict[tuple[str, str], list[Pointed[UpgradeRow]]]]:
    """Rows of both representatives by test: the other version, and loaded or judged by symbols."""
    rows = binaries(scope.pack)
    tests: dict[str, dict[tuple[str, str], list[Pointed[UpgradeRow]]]] = {}
    for route in scope.representatives({row.row.route for row in rows}) or ():
        for row in (row for row in rows if row.row.route == route):
            tests.setdefault(route, {}).setdefault((row.row.loaded_under, row.row.method), []).append(row)
    return tests


def _upgrade(scope: Scope) -> Measured:
    tests = survivals(scope)
    if len(tests) < 2:
        return absent("no binary of both sides was tried under another version")
    works = {
        route: {test: all(row.row.outcome == "works" for row in rows) for test, rows in by_test.items()}
        for route, by_test in tests.items()
    }
    (first, first_works), (second, second_works) = works.items()
    common_tests = [test for test in first_works if test in second_works]
    if not common_tests:
        each = (
            f"{route} works in {sum(outcomes.values())} of {len(outcomes)} ({_versions(outcomes)})"
            for route, outcomes in works.items()
        )
        return absent(f"no version was tried with both sides in the same way: {'; '.join(each)}")
    counts = [sum(outcomes[test] for test in common_tests) for outcomes in (first_works, second_works)]
    message = f"of {text.count(len(common_tests), 'test')} that both sides had, {first} works in {counts[0]}, "
    message += f"{second} in {counts[1]}"
    rows = [row.pointer for by_test in tests.values() for test in common_tests for row in by_test[test]]
    return of_shares((counts[0], counts[1]), len(common_tests), message, tuple(rows))


def _versions(tests: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{version} {'loaded' if method == 'loaded' else 'by symbols'}" for version, method in tests)


CRITERIA = (
    Criterion("prerequisites", 70, "Bytes to install before the first build", _prerequisites),
    Criterion("footprint_run", 80, "Bytes to install to run", _footprint),
    Criterion("upgrade", 130, "Survival of an upgrade", _upgrade),
)


def _moves(scope: Scope, side: str) -> Finding:
    tried = [entry for entry in scope.pack.pointed(UpgradeRow) if entry.row.outcome != "did not run"]
    _, of_route = of_representative(scope, side, [entry for entry in tried if entry.row.method in ("loaded", "alone")])
    if not of_route:
        return Finding(None, f"needs a {SIDE_NAMES[side]} binary loaded in another environment: a full run does it", [])
    good = [entry for entry in of_route if entry.row.outcome == "works"]
    shown = (good or of_route)[0].row
    evidence = f"{shown.artifact} of {shown.built_with} under {shown.loaded_under}: {shown.outcome}"
    return Finding(bool(good), evidence, pointers(good or of_route))


GATES = (Gate("moves", "a binary loads in another environment, without a compiler", _moves),)


# claims


def barrier(pack: Pack) -> Judgement | None:
    """What must be installed beside PyTorch before the first build, C++ against Mojo: packages, bytes and seconds.
    Holds when C++ needs more by a factor of {SIZE_MATTERS} in all of them, in part in some. Hours that people spend are
    not in a pack."""
    stages = fewest(pack)
    routes = pair(stages)
    if routes is None:
        return None
    cpp_row, mojo_row = (stages[route].row for route in routes)
    more, parts = [], []
    for key, name, show in (("packages", "packages", str), ("install_bytes", "bytes", text.size)):
        have, other = getattr(cpp_row, key), getattr(mojo_row, key)
        if have is not None and other is not None:
            more.append(have >= SIZE_MATTERS * other and have > other)
            parts.append(f"{name} {show(have)} in C++, {show(other)} in Mojo")
    seconds = select(comparisons(pack), BUILD_TIME, "prerequisites")
    if seconds and seconds.figures:
        more.append(seconds.ratio.above_one and seconds.ratio.mid >= SIZE_MATTERS)
        cpp_seconds, mojo_seconds = seconds.figures
        parts.append(f"seconds {text.short(cpp_seconds)} in C++, {text.short(mojo_seconds)} in Mojo")
    if not parts:
        return None
    evidence = f"{' and '.join(routes)}: {'; '.join(parts)}."
    return Judgement(word(sum(more), len(more)), evidence, pointers(stages[route] for route in routes))


def rebuild(pack: Pack) -> Judgement | None:
    """Binaries of the C++ routes under other releases of PyTorch, by loading them where that was possible, else by
    their symbol tables: holds when none works, in part when some work, does not hold when all do."""
    rows = sorted(binaries(pack), key=lambda row: order(row.row.route))
    cpp = [row for row in rows if side_of(row.row.route) == CPP]
    if not cpp:
        return None
    broken = sum(row.row.outcome != "works" for row in cpp)
    shown = [row for row in rows if side_of(row.row.route)]
    by_test: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in shown:
        test = (row.row.route, "loaded" if row.row.method == "loaded" else "by symbols")
        by_test.setdefault(test, {}).setdefault(row.row.outcome, []).append(row.row.loaded_under)
    parts = [
        f"{route} ({how}) "
        + ", ".join(f"{outcome} under {', '.join(dict.fromkeys(under))}" for outcome, under in outcomes.items())
        for (route, how), outcomes in by_test.items()
    ]
    return Judgement(word(broken, len(cpp)), "; ".join(parts) + ".", pointers(shown))


def footprint(pack: Pack) -> Judgement | None:
    """Not judged: the two containers are not built or pulled here. The evidence says what this repository's own routes
    install to run, from package records, which is no measurement of a serving container."""
    to_run = [total for total in footprint_totals(pack) if total.purpose == "run"]
    if not to_run:
        return None
    sizes = ", ".join(f"{total.route} {text.size(total.size)}" for total in to_run)
    rows = [pointer for total in to_run for pointer in total.pointers]
    return Judgement(NOT_MEASURED, f"Of the containers nothing. To run, with PyTorch: {sizes}.", rows)


def battery_included(pack: Pack) -> Judgement | None:
    """System packages among what each Mojo route needs: holds when none needs one, neither to build nor to run; in part
    when none is needed to run; else it does not hold."""
    totals = [total for total in footprint_totals(pack) if side_of(total.route) == MOJO]
    run = [total for total in totals if total.purpose == "run"]
    build = [total for total in totals if total.purpose == "build"]
    if not run or not build:
        return None
    to_run = sorted({name for total in run for name in total.system_names})
    to_build = sorted({name for total in build for name in total.system_names})
    verdict = DOES_NOT_HOLD if to_run else IN_PART if to_build else HOLDS
    shown = next((total for total in build if total.route == representative(MOJO)), build[0])
    stage = fewest(pack).get(shown.route)
    if stage and stage.row.install_bytes:
        counts = f"{text.count(stage.row.packages or 0, 'package')}, {text.size(stage.row.install_bytes)}"
        evidence = f"{shown.route}, the fewest packages that build it, on top of PyTorch: {counts}"
        seconds = stage.row.seconds_median if stage.row.status == "ok" else None
        evidence += f", of which pip installs its own in {text.seconds(seconds)}" if seconds is not None else ""
    else:
        counts = f"{text.count(shown.package_count + shown.system_count, 'package')}, {text.size(shown.beside_torch)}"
        evidence = f"{shown.route}, what its package declares to build it, on top of PyTorch: {counts}"
    evidence += f"; system packages to build: {_names(to_build)}; to run: {_names(to_run)}."
    return Judgement(verdict, evidence, [pointer for total in totals for pointer in total.pointers])


def _names(names: list[str], most: int = 6) -> str:
    if not names:
        return "none"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


CLAIMS = (
    Claim("barrier", 40, "High barrier to entry, hours of debugging builds.",
          "packages, bytes and commands before the first build, and what each missing prerequisite prints", barrier),
    Claim("rebuild", 130, "Every PyTorch update may need a rebuild.",
          "the same binaries loaded under other PyTorch and MAX versions", rebuild),
    Claim("footprint", 190, "The MAX container has about 1.3 GB, the vLLM one about 9.8 GB.",
          "bytes installed to build and to run per route, from package records", footprint),
    Claim("battery-included", 200, "pip install modular is all.",
          "packages, bytes and seconds of the install, and what else the machine had to have", battery_included),
)  # fmt: skip


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """What became of each artifact under another version."""
    for a, b in common(before, after, UpgradeRow, ("artifact", "route", "loaded_under", "method"), changes):
        what = f"{a.artifact} under {a.loaded_under}"
        change_of_rank("upgrade", what, a.outcome, b.outcome, OUTCOMES, changes)
