"""The gates of a decision: what a side must meet, met or not by the rows of the pack, never assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evidence.analyse import text
from evidence.analyse.claims_reach import reached
from evidence.analyse.judgement import pointed, pointers
from evidence.analyse.questions import AMD, CPU, NVIDIA
from evidence.analyse.routes import SIDE_NAMES, side_of
from evidence.analyse.scope import CPU_ONLY, Scope
from evidence.analyse.stages import speaks_for


class Finding(NamedTuple):
    """Whether a requirement is met: None when it was not measured, and then `evidence` says what is needed."""

    met: bool | None
    evidence: str
    rows: list[str]


class Gate(NamedTuple):
    """A requirement in the reader's words and the function that looks for it."""

    requirement: str
    find: Callable[[Scope, str], Finding]


def _route(scope: Scope, side: str, present: set[str]) -> str | None:
    some = {route for route in present if side_of(route) == side}
    return speaks_for(side, some - (set(CPU_ONLY) if scope.device != CPU else set()))


def _correct(scope: Scope, side: str) -> Finding:
    found = [
        one
        for one in pointed(scope.pack, "correctness")
        if one.row["device"] == scope.torch_device and one.row["passed"] + one.row["failed"]
    ]
    route = _route(scope, side, {one.row["route"] for one in found})
    some = [one for one in found if one.row["route"] == route]
    if not some:
        return Finding(None, f"needs checks of a {SIDE_NAMES[side]} route on this device", [])
    passed, failed = (sum(one.row[key] for one in some) for key in ("passed", "failed"))
    evidence = f"{route}: {passed:,} of {text.count(passed + failed, 'check')} passed"
    return Finding(failed == 0, evidence, pointers(some))


def _gpu(scope: Scope, side: str) -> Finding:
    cells = [
        cell
        for case in scope.cases
        for cell in case.cells.values()
        if scope.torch_device != "cpu" and cell.ok and side_of(cell.route) == side
    ]
    if not cells:
        return Finding(None, f"needs a run of compare on a machine with an {scope.device} GPU", [])
    return Finding(True, text.count(len(cells), "run-time row"), [cell.pointer for cell in cells])


def _gradients(scope: Scope, side: str) -> Finding:
    found = [
        one
        for one in pointed(scope.pack, "integration")
        if one.row["feature"] == "autograd" and one.row["status"] in ("works", "refused", "fails")
    ]
    route = _route(scope, side, {one.row["route"] for one in found})
    one = next((one for one in found if one.row["route"] == route), None)
    if one is None:
        return Finding(None, f"needs the autograd row of a {SIDE_NAMES[side]} route", [])
    said = f": {one.row['message']}" if one.row["message"] else ""
    return Finding(one.row["status"] == "works", f"{route} {one.row['status']}{said}", [one.pointer])


def _moves(scope: Scope, side: str) -> Finding:
    found = [one for one in pointed(scope.pack, "upgrade") if side_of(one.row["route"]) == side]
    some = [one for one in found if one.row["method"] in ("loaded", "alone") and one.row["outcome"] != "did not run"]
    if not some:
        return Finding(None, f"needs a {SIDE_NAMES[side]} binary loaded in another environment: a full run does it", [])
    good = [one for one in some if one.row["outcome"] == "works"]
    shown = (good or some)[0].row
    evidence = f"{shown['artifact']} of {shown['built_with']} under {shown['loaded_under']}: {shown['outcome']}"
    return Finding(bool(good), evidence, pointers(good or some))


def _vendors(scope: Scope, side: str) -> Finding:
    found = {name: entry for name, entry in reached(scope.pack, side).items() if name in (NVIDIA, AMD)}
    failed = [name for name, (ok, _) in found.items() if not ok]
    rows = pointers(one for _, some in found.values() for one in some)
    if failed:
        return Finding(False, f"not every source builds for {' and '.join(failed)}", rows)
    absent = [name for name in (NVIDIA, AMD) if name not in found]
    if absent:
        return Finding(None, f"needs every {SIDE_NAMES[side]} source built for {' and '.join(absent)}", rows)
    return Finding(True, f"every source builds for {NVIDIA} and {AMD}", rows)


GATES = {
    "correct": Gate("results are right", _correct),
    "gpu": Gate("measured on such a GPU", _gpu),
    "gradients": Gate("gradients work", _gradients),
    "moves": Gate("a binary loads in another environment, without a compiler", _moves),
    "vendors": Gate("every source builds for NVIDIA and AMD", _vendors),
}
