"""The gates of a decision: what a side must meet, met or not by the rows of the pack, never assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evidence.core import text
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.judge.judgement import Pointed, pointed, pointers
from evidence.judge.questions import AMD, NVIDIA
from evidence.judge.scope import Scope
from evidence.sections.gpu import readings as gpu
from evidence.sections.targets.claims import Coverage, coverage, coverage_words


class Finding(NamedTuple):
    """Whether a requirement is met: None when it was not measured, and then `evidence` says what is needed."""

    met: bool | None
    evidence: str
    rows: list[str]


class Gate(NamedTuple):
    """A requirement in the reader's words and the function that looks for it."""

    requirement: str
    find: Callable[[Scope, str], Finding]


def _of_representative(scope: Scope, side: str, entries: Sequence[Pointed]) -> tuple[str | None, list[Pointed]]:
    """The side's representative among the routes of some rows, and its rows."""
    route = scope.representative(side, {entry.row["route"] for entry in entries})
    return route, [entry for entry in entries if entry.row["route"] == route]


def _correct(scope: Scope, side: str) -> Finding:
    entries = [
        entry
        for entry in pointed(scope.pack, "correctness")
        if entry.row["device"] == scope.torch_device and entry.row["passed"] + entry.row["failed"]
    ]
    route, of_route = _of_representative(scope, side, entries)
    if not of_route:
        return Finding(None, f"needs checks of a {SIDE_NAMES[side]} route on this device", [])
    passed, failed = (sum(entry.row[key] for entry in of_route) for key in ("passed", "failed"))
    evidence = f"{route}: {passed:,} of {text.count(passed + failed, 'check')} passed"
    return Finding(failed == 0, evidence, pointers(of_route))


def _gpu(scope: Scope, side: str) -> Finding:
    cells = [
        cell
        for case in scope.cases
        for cell in case.cells.values()
        if scope.torch_device != "cpu" and cell.ok and cell.route == case.representative(side)
    ]
    if not cells:
        needs = f"not timed here: needs a run of compare on a machine with an {scope.device} GPU"
        shown = gpu.summary(scope.pack) if scope.device == NVIDIA else None
        return Finding(None, f"{needs}; {shown}" if shown else needs, gpu.summary_rows(scope.pack) if shown else [])
    return Finding(True, text.count(len(cells), "run-time row"), [cell.pointer for cell in cells])


def _gradients(scope: Scope, side: str) -> Finding:
    entries = [
        entry
        for entry in pointed(scope.pack, "integration")
        if entry.row["feature"] == "autograd" and entry.row["status"] in ("works", "refused", "fails")
    ]
    route, of_route = _of_representative(scope, side, entries)
    entry = next(iter(of_route), None)
    if entry is None:
        return Finding(None, f"needs the autograd row of a {SIDE_NAMES[side]} route", [])
    message = f": {entry.row['message']}" if entry.row["message"] else ""
    return Finding(entry.row["status"] == "works", f"{route} {entry.row['status']}{message}", [entry.pointer])


def _moves(scope: Scope, side: str) -> Finding:
    tried = [entry for entry in pointed(scope.pack, "upgrade") if entry.row["outcome"] != "did not run"]
    _, of_route = _of_representative(
        scope, side, [entry for entry in tried if entry.row["method"] in ("loaded", "alone")]
    )
    if not of_route:
        return Finding(None, f"needs a {SIDE_NAMES[side]} binary loaded in another environment: a full run does it", [])
    good = [entry for entry in of_route if entry.row["outcome"] == "works"]
    shown = (good or of_route)[0].row
    evidence = f"{shown['artifact']} of {shown['built_with']} under {shown['loaded_under']}: {shown['outcome']}"
    return Finding(bool(good), evidence, pointers(good or of_route))


def _several_gpus(scope: Scope, _: str) -> Finding:
    """A pack is of one machine, so runs on the GPUs of two vendors are not in it; what builds is reported as built."""
    parts, rows = [], []
    for side in SIDES:
        built = _for_gpus(scope, side)
        if built:
            parts.append(f"{SIDE_NAMES[side]} {coverage_words(built)}")
            rows += pointers(row for covered in built.values() for row in covered.rows)
    needs = f"needs runs of compare on an {NVIDIA} and on an {AMD} GPU"
    return Finding(None, f"{needs}; only built, which decides nothing: {'; '.join(parts)}" if parts else needs, rows)


def _for_gpus(scope: Scope, side: str) -> dict[str, Coverage]:
    return {vendor: covered for vendor, covered in coverage(scope.pack, side).items() if vendor in (NVIDIA, AMD)}


def _builds(scope: Scope, side: str) -> Finding:
    built = _for_gpus(scope, side)
    rows = pointers(row for covered in built.values() for row in covered.rows)
    if any(covered.failed for covered in built.values()):
        return Finding(False, coverage_words(built), rows)
    absent = [vendor for vendor in (NVIDIA, AMD) if vendor not in built]
    if absent or any(covered.untried for covered in built.values()):
        coverage_text = f"; {coverage_words(built)}" if built else ""
        return Finding(None, f"needs every {SIDE_NAMES[side]} source built for every target{coverage_text}", rows)
    return Finding(True, coverage_words(built), rows)


GATES = {
    "correct": Gate("results are right", _correct),
    "gpu": Gate("measured on such a GPU", _gpu),
    "gradients": Gate("gradients work", _gradients),
    "moves": Gate("a binary loads in another environment, without a compiler", _moves),
    "several_gpus": Gate("measured on GPUs of several vendors", _several_gpus),
    "builds": Gate("every source builds for every NVIDIA and AMD target", _builds),
}
