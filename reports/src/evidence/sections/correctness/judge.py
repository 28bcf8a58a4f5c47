"""What is judged from the checks: a criterion, a gate, a statement and what changed."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import CPP, MOJO, REPRESENTATIVE, REPRESENTATIVE_ON_GPU, SIDE_NAMES, SIDES, order, side_of
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.criteria import Criterion, Measured, absent, exact
from evidence.judge.diff import Diff, change_of_count, common, name_of
from evidence.judge.gates import Finding, Gate, of_representative
from evidence.judge.judgement import pointers
from evidence.judge.scope import Scope
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.correctness.row import CorrectnessRow

ALL_PASS = "both pass"
KEY = ("op", "route", "dtype", "device")


def checked(pack: Pack) -> list[Pointed[CorrectnessRow]]:
    """Rows with at least one check that ran."""
    return [row for row in pack.pointed(CorrectnessRow) if row.row.passed + row.row.failed]


def _count(rows: Sequence[Pointed[CorrectnessRow]], key: str) -> int:
    return sum(getattr(row.row, key) for row in rows)


def _correctness(scope: Scope) -> Measured:
    rows = [row for row in checked(scope.pack) if row.row.device == scope.torch_device]
    routes = scope.representatives({row.row.route for row in rows})
    if routes is None:
        return absent("no checks of both sides on this device")
    failed = [_count([row for row in rows if row.row.route == route], "failed") for route in routes]
    message = f"failed checks: {routes[0]} {failed[0]}, {routes[1]} {failed[1]}"
    of_routes = pointers(row for row in rows if row.row.route in routes)
    natural = (str(failed[0]), str(failed[1]))
    return Measured(exact((failed[0] + 1) / (failed[1] + 1)), message, tuple(of_routes), natural=natural)


CRITERIA = (Criterion("correctness", 150, "Checks that fail", _correctness),)


def _correct(scope: Scope, side: str) -> Finding:
    entries = [row for row in checked(scope.pack) if row.row.device == scope.torch_device]
    route, of_route = of_representative(scope, side, entries)
    if not of_route:
        return Finding(None, f"needs checks of a {SIDE_NAMES[side]} route on this device", [])
    passed, failed = _count(of_route, "passed"), _count(of_route, "failed")
    evidence = f"{route}: {passed:,} of {text.count(passed + failed, 'check')} passed"
    return Finding(failed == 0, evidence, pointers(of_route))


GATES = (Gate("correct", "results are right", _correct),)


def _checks(rows: Sequence[Pointed[CorrectnessRow]]) -> str:
    """`383 of 383`."""
    passed = _count(rows, "passed")
    return f"{passed:,} of {passed + _count(rows, 'failed'):,}"


def _failing(rows: Sequence[Pointed[CorrectnessRow]]) -> str:
    failing = (row.row for row in rows if row.row.failed)
    names = list(dict.fromkeys(f"{row.route} on {row.op} {row.dtype}" for row in failing))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _apart(failed: Sequence[Pointed[CorrectnessRow]]) -> str:
    """Failures of routes that are not judged, by whose they are."""
    owners = {"PyTorch's own": ("eager", "compile"), "MAX's graph ops": ("max_graph",)}
    parts: dict[str, list[Pointed[CorrectnessRow]]] = {}
    for row in failed:
        owner = next((name for name, routes in owners.items() if row.row.route in routes), "other routes")
        parts.setdefault(owner, []).append(row)
    return "; ".join(f"{owner}: {_failing(rows)}" for owner, rows in parts.items())


def correctness(pack: Pack) -> Statement:
    """Whether the hand-written ops of both sides passed the specs; failures of every other route stand apart."""
    question = "Correct results"
    judged = {CPP: {CPP}, MOJO: {REPRESENTATIVE[MOJO], REPRESENTATIVE_ON_GPU[MOJO]}}
    names = {side: " and ".join(sorted(routes, key=order)) for side, routes in judged.items()}
    rule = (
        "Every check of the hand-written ops against the float64 reference, on the routes that represent a side on a "
        f"device ({names[CPP]}; {names[MOJO]}); one failure counts. Failures of PyTorch's own routes, of MAX's graph "
        "ops and of the other routes stand apart and decide nothing."
    )
    rows = checked(pack)
    by_route: dict[str, list[Pointed[CorrectnessRow]]] = {}
    for row in rows:
        by_route.setdefault(row.row.route, []).append(row)
    shown = {side: [route for route in sorted(by_route, key=order) if route in judged[side]] for side in SIDES}
    if not any(shown.values()):
        return not_measured("correctness", question, rule, why_not(pack, "correctness"))
    judged_rows = [row for routes in shown.values() for route in routes for row in by_route[route]]
    failing = [row for row in judged_rows if row.row.failed]
    sides = {side_of(row.row.route) for row in failing}
    unchecked = [SIDE_NAMES[side] for side in SIDES if not shown[side]]
    word = ALL_PASS
    if sides:
        word = "both fail" if len(sides) == len(SIDES) else f"{SIDE_NAMES[CPP if CPP in sides else MOJO]} fails"
    elif unchecked:
        word = NOT_MEASURED
    counts = ", ".join(f"{route} {_checks(by_route[route])}" for routes in shown.values() for route in routes)
    evidence = f"Checks passed: {counts}." + (f" Not checked: {', '.join(unchecked)}." if unchecked else "")
    others = [row for row in rows if row not in judged_rows and row.row.failed]
    if others:
        evidence += f" Apart, deciding nothing, fail: {_apart(others)}."
    values = {"passed": _count(judged_rows, "passed"), "failed": _count(judged_rows, "failed")}
    values["apart"] = _count(others, "failed")
    exceptions = f"fails: {_failing(failing)}" if failing else None
    pointed_rows = [*pointers(failing or judged_rows), *pointers(others)]
    return Statement("correctness", question, word, rule, evidence, pointed_rows, values, exceptions)


STATEMENTS = (Asked("correctness", 60, correctness),)


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Checks that failed."""
    for a, b in common(before, after, CorrectnessRow, KEY, changes):
        change_of_count("correctness", name_of(a, KEY), a.failed, b.failed, "failed", changes)
