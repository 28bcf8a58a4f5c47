"""Claims about use: torch.compile and production."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, measured_representative, order, side_of
from evidence.judge.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    Judgement,
    Pointed,
    judges,
    pointed,
    pointers,
)

ASIDE = ("did not run", "not applicable")
COMPILE_FEATURES = ("fake", "compile_fullgraph", "compile_dynamic", "inductor_reuse", "export")
PRODUCTION_FEATURES = ("threads", "fork", "inference_mode", "non_contiguous", "zero_size", "bad_input", "determinism")
SOAK_FEATURES = ("soak", "memory_growth")


def asked(pack: Pack, features: Sequence[str]) -> dict[str, dict[str, Pointed]]:
    """route -> feature -> row of the section `integration`, where the feature was tried."""
    found: dict[str, dict[str, Pointed]] = {}
    for one in pointed(pack, "integration"):
        if one.row["feature"] in features and one.row["status"] not in ASIDE:
            found.setdefault(one.row["route"], {})[one.row["feature"]] = one
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def failing(rows: dict[str, Pointed], fine: tuple[str, ...] = ("works",)) -> list[str]:
    """Features of a route whose status is not one of `fine`."""
    return [feature for feature, one in rows.items() if one.row["status"] not in fine]


def _list(found: dict[str, list[str]]) -> str:
    return "; ".join(f"{route} {'not: ' + ', '.join(bad) if bad else 'all'}" for route, bad in found.items())


@judges("torch-compile")
def torch_compile(pack: Pack) -> Judgement | None:
    """Fake tensors, fullgraph without a graph break, dynamic shapes, use inside an Inductor graph and torch.export,
    each tried on every Mojo and MAX route: holds when all of them work on all routes, in part when all work on one
    route or fullgraph works on one, else it does not hold."""
    routes = {route: rows for route, rows in asked(pack, COMPILE_FEATURES).items() if side_of(route) == MOJO}
    routes = {route: rows for route, rows in routes.items() if "compile_fullgraph" in rows}
    if not routes:
        return None
    bad = {route: failing(rows) for route, rows in routes.items()}
    verdict = DOES_NOT_HOLD
    if not any(bad.values()):
        verdict = HOLDS
    elif not all(bad.values()) or any("compile_fullgraph" not in names for names in bad.values()):
        verdict = IN_PART
    tried = max(len(rows) for rows in routes.values())
    evidence = f"Of {text.count(tried, 'feature')} work: {_list(bad)}."
    return Judgement(verdict, evidence, pointers(one for rows in routes.values() for one in rows.values()))


@judges("production")
def production(pack: Pack) -> Judgement | None:
    """Threads, fork, inference mode, strided and empty tensors, bad input and determinism, as far as they were tried,
    on each side's own route; a refusal that names its reason is fine. Holds when Mojo's route has no failure, soak and
    memory growth among what was tried; in part when it fails nothing that C++ does not fail too; else it does not
    hold."""
    found = asked(pack, (*PRODUCTION_FEATURES, *SOAK_FEATURES))
    cpp, mojo = measured_representative(CPP, found), measured_representative(MOJO, found)
    if mojo is None or cpp is None:
        return None
    fine = ("works", "refused")
    bad = {route: failing(found[route], fine) for route in (cpp, mojo)}
    verdict = DOES_NOT_HOLD
    if not bad[mojo] and set(SOAK_FEATURES) <= set(found[mojo]):
        verdict = HOLDS
    elif set(bad[mojo]) <= set(bad[cpp]):
        verdict = IN_PART
    absent = [name for name in SOAK_FEATURES if name not in found[mojo]]
    evidence = f"{text.count(len(found[mojo]), 'feature')} tried; fails: " + "; ".join(
        f"{route} {', '.join(names) or 'none'}" for route, names in bad.items()
    )
    evidence += f". Not tried: {', '.join(name.replace('_', ' ') for name in absent)}." if absent else "."
    return Judgement(verdict, evidence, pointers(one for route in (cpp, mojo) for one in found[route].values()))
