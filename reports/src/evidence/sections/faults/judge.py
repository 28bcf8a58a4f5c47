"""What is judged from the fault corpus: a criterion, claims about types and memory, and what changed."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import CPP, MOJO, SIDES, representative
from evidence.core.thresholds import CLAIM_PART_SHARE, FAULTS_AHEAD
from evidence.judge.claims import Claim
from evidence.judge.criteria import Criterion, Measured, absent, share_ratio
from evidence.judge.diff import Diff, change_of_rank, common
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointers, share_word
from evidence.judge.scope import Scope
from evidence.sections.faults.readings import faults as read_faults
from evidence.sections.faults.row import FaultRow

NO_FAULT = ("no effect", "not expressible", "did not run")
"""Outcomes that say nothing about where a mistake is caught."""

EARLY = ("compile", "load", "call")
"""Caught before a wrong result can leave the call, with an error that Python sees."""

PLACES = ("compile", "load", "call", "sanitizer", "crash", "hang", "silent")
"""Where a mistake is caught, best first."""

MEMORY_KINDS = ("memory", "concurrency")
TYPE_KINDS = ("type",)
"""What the corpus says a mistake is."""


Faults = dict[str, dict[str, Pointed[FaultRow]]]
"""fault -> side -> row."""


def shared_faults(pack: Pack, device: str = "cpu") -> Faults:
    """fault -> side -> row of its representative, for faults that ran on both sides and had an effect on both."""
    routes = {side: representative(side, device) for side in SIDES}
    return {
        fault.name: {side: Pointed(fault.rows[route], fault.pointers[route]) for side, route in routes.items()}
        for fault in read_faults(pack)
        if all(fault.caught(route) not in NO_FAULT for route in routes.values())
    }


def early(faults: Faults, side: str, where: tuple[str, ...] = EARLY) -> int:
    """How many of the faults one side catches at the places named."""
    return sum(sides[side].row.caught in where for sides in faults.values())


def _of_kind(faults: Faults, kinds: tuple[str, ...]) -> Faults:
    return {name: sides for name, sides in faults.items() if sides[MOJO].row.kind in kinds}


def _faults(scope: Scope) -> Measured:
    faults = shared_faults(scope.pack, scope.device)
    if not faults:
        return absent("no fault of the corpus ran on both sides")
    cpp, mojo = early(faults, CPP), early(faults, MOJO)
    cpp_route, mojo_route = (representative(side, scope.device) for side in (CPP, MOJO))
    message = f"of {text.count(len(faults), 'fault')} that both ran, {cpp_route} stops {cpp} and {mojo_route} {mojo} "
    message += f"at {', '.join(EARLY[:-1])} or {EARLY[-1]}"
    rows = tuple(row.pointer for sides in faults.values() for row in sides.values())
    natural = (str(cpp), str(mojo))
    same = 0.0 if cpp == mojo else None
    factor, note = share_ratio(cpp, mojo, len(faults)), f"of {len(faults)}"
    return Measured(factor, message, rows, equal_within=same, natural=natural, note=note)


CRITERIA = (Criterion("faults", 120, "Mistakes caught early", _faults),)


def types(pack: Pack) -> Judgement | None:
    """Mistakes of type in the corpus that both sides can express: holds when Mojo's compiler catches
    {CLAIM_HOLDS_SHARE:.0%} of them, in part when it catches {CLAIM_PART_SHARE:.0%}, or {FAULTS_AHEAD} more than C++'s
    compiler does. Mistakes of another kind stand in the evidence only."""
    everything = shared_faults(pack)
    faults = _of_kind(everything, TYPE_KINDS)
    if not faults:
        return None
    mojo, cpp = early(faults, MOJO, ("compile",)), early(faults, CPP, ("compile",))
    verdict = share_word(mojo, len(faults))
    if verdict == DOES_NOT_HOLD and mojo - cpp >= FAULTS_AHEAD:
        verdict = IN_PART
    all_mojo, all_cpp = (early(everything, side, ("compile",)) for side in (MOJO, CPP))
    evidence = f"Of {text.count(len(faults), 'mistake')} of type the compiler catches {mojo} in Mojo and {cpp} in C++"
    evidence += f", of all {text.count(len(everything), 'mistake')} {all_mojo} and {all_cpp}"
    only = [name for name, sides in everything.items() if _only_at_compile(sides)]
    evidence += f"; in Mojo alone: {_names(only)}." if only else "."
    return Judgement(verdict, evidence, pointers(row for sides in everything.values() for row in sides.values()))


def _only_at_compile(sides: dict[str, Pointed[FaultRow]]) -> bool:
    return sides[MOJO].row.caught == "compile" and sides[CPP].row.caught != "compile"


def _names(faults: list[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in faults)


def _by_assertion(fault: Pointed[FaultRow]) -> bool:
    return fault.row.caught == "sanitizer" and "assertion" in str(fault.row.by)


def memory_safe(pack: Pack) -> Judgement | None:
    """Mistakes of memory and threads that both sides can express: holds when Mojo catches every one with an error by
    the time the call returns; in part when it catches {CLAIM_PART_SHARE:.0%} of them, or {FAULTS_AHEAD} more than C++.
    A crash, a hang and what only a sanitizer finds are not caught."""
    faults = _of_kind(shared_faults(pack), MEMORY_KINDS)
    if not faults:
        return None
    mojo, cpp = early(faults, MOJO), early(faults, CPP)
    verdict = DOES_NOT_HOLD
    if mojo == len(faults):
        verdict = HOLDS
    elif mojo >= CLAIM_PART_SHARE * len(faults) or mojo - cpp >= FAULTS_AHEAD:
        verdict = IN_PART
    silent = [name for name, sides in faults.items() if sides[MOJO].row.caught == "silent"]
    evidence = f"Of {text.count(len(faults), 'mistake')} of memory and threads Mojo catches {mojo} and C++ {cpp}"
    evidence += f"; silent in Mojo: {_names(silent)}." if silent else "."
    asserted = [name for name, sides in faults.items() if _by_assertion(sides[MOJO])]
    if asserted:
        evidence += f" Mojo's assertions, off in the build that ships here, stop: {_names(asserted)}."
    return Judgement(verdict, evidence, pointers(row for sides in faults.values() for row in sides.values()))


CLAIMS = (
    Claim("types", 140, "Catches errors at compile time.", "the fault corpus run on both sides", types),
    Claim("memory-safe", 150, "Memory safety.", "the fault corpus run on both sides", memory_safe),
)


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Where each mistake is caught."""
    for a, b in common(before, after, FaultRow, ("fault", "side"), changes):
        change_of_rank("faults", f"{a.fault} in {a.side}", a.caught, b.caught, PLACES, changes)
