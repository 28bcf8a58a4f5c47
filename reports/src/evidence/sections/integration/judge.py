"""What is judged from PyTorch's features: a criterion, a gate, claims about use, and what changed."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import MOJO, SIDE_NAMES, order, side_of
from evidence.judge.claims import Claim
from evidence.judge.comparison import pair
from evidence.judge.criteria import Criterion, Measured, absent, of_shares
from evidence.judge.diff import Diff, change_of_rank, common
from evidence.judge.gates import Finding, Gate, of_representative
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointers
from evidence.judge.scope import Scope
from evidence.sections.integration.row import IntegrationRow

STATUSES = ("works", "refused", "fails")
"""Of a feature that was tried, best first."""

ASIDE = ("did not run", "not applicable")
COMPILE_FEATURES = ("fake", "compile_fullgraph", "compile_dynamic", "inductor_reuse", "export")
PRODUCTION_FEATURES = ("threads", "fork", "inference_mode", "non_contiguous", "zero_size", "bad_input", "determinism")
SOAK_FEATURES = ("soak", "memory_growth")


def tried(pack: Pack, features: Sequence[str] | None = None) -> dict[str, dict[str, Pointed[IntegrationRow]]]:
    """route -> feature -> row of the section `integration`, of these features or all, where the feature was tried."""
    rows: dict[str, dict[str, Pointed[IntegrationRow]]] = {}
    for row in pack.pointed(IntegrationRow):
        feature = row.row.feature
        if (features is None or feature in features) and row.row.status not in ASIDE:
            rows.setdefault(row.row.route, {})[feature] = row
    return dict(sorted(rows.items(), key=lambda item: order(item[0])))


def _integration(scope: Scope) -> Measured:
    features = tried(scope.pack)
    routes = scope.representatives(features)
    if routes is None:
        return absent("the integration table does not hold both sides")
    both = [feature for feature in features[routes[0]] if feature in features[routes[1]]]
    works = [sum(features[route][name].row.status == "works" for name in both) for route in routes]
    rows = tuple(features[route][name].pointer for route in routes for name in both)
    message = f"of {len(both)} features {routes[0]} {works[0]}, {routes[1]} {works[1]}"
    return of_shares((works[0], works[1]), len(both), message, rows)


CRITERIA = (Criterion("integration", 140, "PyTorch features that work", _integration),)


def _gradients(scope: Scope, side: str) -> Finding:
    entries = [
        entry
        for entry in scope.pack.pointed(IntegrationRow)
        if entry.row.feature == "autograd" and entry.row.status in STATUSES
    ]
    route, of_route = of_representative(scope, side, entries)
    entry = next(iter(of_route), None)
    if entry is None:
        return Finding(None, f"needs the autograd row of a {SIDE_NAMES[side]} route", [])
    message = f": {entry.row.message}" if entry.row.message else ""
    return Finding(entry.row.status == "works", f"{route} {entry.row.status}{message}", [entry.pointer])


GATES = (Gate("gradients", "gradients work", _gradients),)


def failing(rows: dict[str, Pointed[IntegrationRow]], fine: tuple[str, ...] = ("works",)) -> list[str]:
    """Features of a route whose status is not one of `fine`."""
    return [feature for feature, row in rows.items() if row.row.status not in fine]


def _list(failures: dict[str, list[str]]) -> str:
    return "; ".join(f"{route} {'not: ' + ', '.join(bad) if bad else 'all'}" for route, bad in failures.items())


def torch_compile(pack: Pack) -> Judgement | None:
    """Fake tensors, fullgraph without a graph break, dynamic shapes, use inside an Inductor graph and torch.export,
    each tried on every Mojo and MAX route: holds when all of them work on all routes, in part when all work on one
    route or fullgraph works on one, else it does not hold."""
    routes = {route: rows for route, rows in tried(pack, COMPILE_FEATURES).items() if side_of(route) == MOJO}
    routes = {route: rows for route, rows in routes.items() if "compile_fullgraph" in rows}
    if not routes:
        return None
    bad = {route: failing(rows) for route, rows in routes.items()}
    verdict = DOES_NOT_HOLD
    if not any(bad.values()):
        verdict = HOLDS
    elif not all(bad.values()) or any("compile_fullgraph" not in names for names in bad.values()):
        verdict = IN_PART
    features = max(len(rows) for rows in routes.values())
    evidence = f"Of {text.count(features, 'feature')} work: {_list(bad)}."
    return Judgement(verdict, evidence, pointers(row for rows in routes.values() for row in rows.values()))


def production(pack: Pack) -> Judgement | None:
    """Threads, fork, inference mode, strided and empty tensors, bad input and determinism, as far as they were tried,
    on each side's own route; a refusal that names its reason is fine. Holds when Mojo's route has no failure, soak and
    memory growth among what was tried; in part when it fails nothing that C++ does not fail too; else it does not
    hold."""
    features = tried(pack, (*PRODUCTION_FEATURES, *SOAK_FEATURES))
    routes = pair(features)
    if routes is None:
        return None
    cpp, mojo = routes
    fine = ("works", "refused")
    bad = {route: failing(features[route], fine) for route in (cpp, mojo)}
    verdict = DOES_NOT_HOLD
    if not bad[mojo] and set(SOAK_FEATURES) <= set(features[mojo]):
        verdict = HOLDS
    elif set(bad[mojo]) <= set(bad[cpp]):
        verdict = IN_PART
    absent = [name for name in SOAK_FEATURES if name not in features[mojo]]
    evidence = f"{text.count(len(features[mojo]), 'feature')} tried; fails: " + "; ".join(
        f"{route} {', '.join(names) or 'none'}" for route, names in bad.items()
    )
    evidence += f". Not tried: {', '.join(name.replace('_', ' ') for name in absent)}." if absent else "."
    return Judgement(verdict, evidence, pointers(row for route in (cpp, mojo) for row in features[route].values()))


CLAIMS = (
    Claim("torch-compile", 160, "Works as a normal op under torch.compile.",
          "graph breaks, fullgraph, dynamic shapes and opcheck per route", torch_compile),
    Claim("production", 210, "Production ready.",
          "soak, threads, fork, bad input, determinism and memory growth per route", production),
)  # fmt: skip


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """The status of each feature on each route."""
    for a, b in common(before, after, IntegrationRow, ("route", "feature"), changes):
        change_of_rank("integration", f"{a.feature} of {a.route}", a.status, b.status, STATUSES, changes)
