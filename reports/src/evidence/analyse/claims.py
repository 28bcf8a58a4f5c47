"""The claims ledger: each claim of the talk judged by one function from the pack's own rows, never typed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence.analyse import text, thresholds
from evidence.analyse.claims_data import CLAIMS
from evidence.analyse.numbers import spread
from evidence.analyse.routes import CPP, DOCUMENTED, MOJO, PRIMARY, order
from evidence.analyse.runtime import Case, called, cases
from evidence.analyse.stages import build, build_routes, code, code_ops, code_routes, speaks_for, stage_ratio
from evidence.analyse.thresholds import (
    BOILERPLATE_LINES,
    BUILD_MATTERS,
    CLAIM_HOLDS_SHARE,
    CLAIM_PART_SHARE,
    KEEPS_UP,
    ROPE_LARGE_SAMPLES,
    SIZE_MATTERS,
)
from evidence.pack import Pack, Row

HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold"
NOT_MEASURED = "not measured here"


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with its evidence and the rows it stands on."""

    verdict: str
    evidence: str
    rows: Sequence[str]


Judge = Callable[[Pack], "Judgement | None"]
_JUDGES: dict[str, Judge] = {}


def judges(claim: str) -> Callable[[Judge], Judge]:
    """Register the function that judges a claim; its docstring is the rule that the report prints."""

    def register(judge: Judge) -> Judge:
        _JUDGES[claim] = judge
        return judge

    return register


def claims(pack: Pack) -> list[Row]:
    """One row a claim; «not measured here» where there is no rule yet or the pack lacks the rows."""
    rows = []
    for claim in CLAIMS:
        judge = _JUDGES.get(claim.id)
        found = judge(pack) if judge else None
        rule = _rule(judge) if judge else None
        if found is None:
            found = Judgement(NOT_MEASURED, f"Needs {claim.needs}.", ())
        rows.append({
            "id": claim.id,
            "claim": claim.says,
            "verdict": found.verdict,
            "evidence": found.evidence,
            "rule": rule,
            "needs": claim.needs if found.verdict == NOT_MEASURED else None,
            "rows": list(found.rows),
        })  # fmt: skip
    return rows


def _rule(judge: Judge) -> str:
    """The judge's docstring, with the thresholds that it names."""
    return " ".join((judge.__doc__ or "").split()).format(**vars(thresholds))


def _word(yes: int, of: int) -> str:
    if yes == of:
        return HOLDS
    return IN_PART if yes else DOES_NOT_HOLD


@judges("boilerplate")
def boilerplate(pack: Pack) -> Judgement | None:
    """Lines of add outside the kernel (binding, build, glue) on the leanest C++ route: holds from {BOILERPLATE_LINES}
    lines of the op's own; in part when they are reached only with the code that all ops share."""
    present = [route for route in code_routes(pack) if route.startswith(CPP)]
    if "add" not in code_ops(pack) or not present:
        return None

    def outside(route: str) -> tuple[int, int, tuple[str, ...]]:
        outer = ("binding", "build", "glue")
        own = [code(pack, route, op="add", bucket=bucket, shared=False) for bucket in outer]
        shared = [code(pack, route, bucket=bucket, shared=True) for bucket in outer]
        pointers = sum((part.pointers for part in (*own, *shared)), ())
        return sum(part.lines for part in own), sum(part.lines for part in shared), pointers

    route = min(present, key=lambda name: sum(outside(name)[:2]))
    own, shared, rows = outside(route)
    verdict = HOLDS if own >= BOILERPLATE_LINES else IN_PART if own + shared >= BOILERPLATE_LINES else DOES_NOT_HOLD
    evidence = f"{route}: {own} lines of its own and {shared} shared by all ops"
    mojo = speaks_for(MOJO, code_routes(pack))
    if mojo:
        mojo_own, mojo_shared, mojo_rows = outside(mojo)
        rows += mojo_rows
        evidence += f"; {mojo}: {mojo_own} and {mojo_shared}"
    return Judgement(verdict, evidence + ".", rows)


@judges("dev-loop")
def dev_loop(pack: Pack) -> Judgement | None:
    """C++ against Mojo, edit to first correct result and clean build: holds when C++ is shown to be slower by a
    factor of {BUILD_MATTERS} or more in both, in part in one of them."""
    table = build(pack)
    present = build_routes(table)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return None
    slower, parts, rows = 0, [], []
    for kind, name in (("edit", "Edit to result"), ("clean", "clean build")):
        ratio = stage_ratio(table, kind, mojo, cpp)
        if ratio is None:
            continue
        slower += ratio.above_one and ratio.mid >= BUILD_MATTERS
        one, two = table[kind][cpp], table[kind][mojo]
        rows += [one.pointer, two.pointer]
        if one.time and two.time:
            parts.append(f"{name} {text.seconds(one.time.mid)} in C++, {text.seconds(two.time.mid)} in Mojo")
    if not parts:
        return None
    return Judgement(_word(slower, len(parts)), "; ".join(parts) + ".", rows)


@judges("python-syntax")
def python_syntax(pack: Pack) -> Judgement | None:
    """Kernel lines and kernel tokens of all ops: holds when Mojo needs fewer of both by a factor of {SIZE_MATTERS} or
    more, in part for one of them."""
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return None
    one, two = code(pack, cpp, bucket="kernel"), code(pack, mojo, bucket="kernel")
    if not (one.lines and two.lines and one.tokens and two.tokens):
        return None
    fewer = (one.lines / two.lines >= SIZE_MATTERS) + (one.tokens / two.tokens >= SIZE_MATTERS)
    evidence = f"C++ {one.lines:,} lines, {one.tokens:,} tokens; Mojo {two.lines:,} lines, {two.tokens:,} tokens."
    return Judgement(_word(fewer, 2), evidence, one.pointers + two.pointers)


@judges("minimal-build")
def minimal_build(pack: Pack) -> Judgement | None:
    """Build-configuration lines: holds when Mojo's own route needs fewer than C++ by a factor of {SIZE_MATTERS} or
    more; in part when only a documented or graph route does."""
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return None
    base = code(pack, cpp, bucket="build")
    if not base.lines:
        return None
    routes = sorted({mojo, *(route for route in (*DOCUMENTED[MOJO], "max_graph") if route in present)}, key=order)
    sums = {route: code(pack, route, bucket="build") for route in routes}
    fewer = [route for route, part in sums.items() if part.lines * SIZE_MATTERS <= base.lines]
    verdict = HOLDS if mojo in fewer else IN_PART if fewer else DOES_NOT_HOLD
    evidence = f"{cpp} {base.lines} lines; " + ", ".join(f"{route} {part.lines}" for route, part in sums.items()) + "."
    return Judgement(verdict, evidence, base.pointers + sum((part.pointers for part in sums.values()), ()))


@judges("cpp-speed")
def cpp_speed(pack: Pack) -> Judgement | None:
    """Best Mojo against best C++ route, as called, all devices; Mojo keeps up on a row unless it is shown to be below
    {KEEPS_UP} of the speed of C++. Holds when it keeps up on {CLAIM_HOLDS_SHARE:.0%} of the rows, in part on
    {CLAIM_PART_SHARE:.0%}. Noisy rows are not counted."""
    duels = [duel for case in cases(pack) if case.mode == "call" and (duel := case.duel()) and not duel.noisy]
    whole = spread(duel.ratio.mid for duel in duels)
    if whole is None:
        return None
    kept = sum(not (duel.ratio.below_one and duel.ratio.mid < KEEPS_UP) for duel in duels)
    verdict = DOES_NOT_HOLD
    if kept >= CLAIM_PART_SHARE * len(duels):
        verdict = HOLDS if kept >= CLAIM_HOLDS_SHARE * len(duels) else IN_PART
    devices = ", ".join(dict.fromkeys(duel.case.device for duel in duels))
    evidence = f"Keeps up on {kept} of {len(duels)} rows ({devices}): speed of Mojo over C++ {text.mean(whole)}."
    return Judgement(verdict, evidence, [pointer for duel in duels for pointer in duel.pointers])


@judges("rope")
def rope(pack: Pack) -> Judgement | None:
    """The talk's two large sizes, float32 or the first dtype measured, on each device of this pack: holds when the
    documented or graph route is shown to be faster than eager on all of them; in part when only some are, or only
    this repository's own route is."""
    some = [case for case in cases(pack) if case.op == "rope" and case.mode == "call"]
    dtype = next((case.dtype for case in some if case.dtype == "float32"), some[0].dtype if some else None)
    large = [case for case in some if case.dtype == dtype and case.sample.endswith(ROPE_LARGE_SAMPLES)]
    if not large:
        return None
    fast: dict[str, list[bool]] = {}
    parts: list[str] = []
    rows: list[str] = []
    for case in large:
        found = []
        for route in case.passed(MOJO):
            ratio = case.speedup(route, "eager")
            if ratio is not None:
                fast.setdefault(route, []).append(ratio.above_one)
                rows.append(case.cells[route].pointer)
                found.append(f"{route} {text.ratio_words(ratio)}")
        if found:
            parts.append(f"{case.sample} on {case.device}: {', '.join(found)}")
    if not fast:
        return None
    as_shown = [fast[route] for route in (*DOCUMENTED[MOJO], "max_graph") if route in fast]
    if any(len(wins) == len(large) and all(wins) for wins in as_shown):
        verdict = HOLDS
    elif any(any(wins) for wins in fast.values()):
        verdict = IN_PART
    else:
        verdict = DOES_NOT_HOLD
    return Judgement(verdict, "; ".join(parts) + _smallest(called(some)), rows)


def _smallest(some: Sequence[Case]) -> str:
    if not some:
        return "."
    case = min(some, key=lambda one: one.elements)
    route = PRIMARY[MOJO]
    ratio = case.speedup(route, "eager") if route in case.cells else None
    return "." if ratio is None else f"; at the smallest size, {case.sample}, {route} has {text.ratio_words(ratio)}."
