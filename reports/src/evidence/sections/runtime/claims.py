"""Claims about speed: C++ performance, fusion, RoPE. `zero-cost` has no rule: no pack holds the rows it needs."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, DOCUMENTED, MOJO, SIDES
from evidence.core.thresholds import (
    CLAIM_HOLDS_SHARE,
    CLAIM_PART_SHARE,
    FUSED,
    ROPE_LARGE_SAMPLES,
    SINGLE_OPERATIONS,
)
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, judges, share_word
from evidence.sections.gpu import readings as gpu
from evidence.sections.runtime.cases import Case, called, cases


def shown_faster(case: Case, route: str, over: str) -> bool:
    """`route` is faster than `over`: the interval excludes 1.0, the factor matters and is beyond the noise band."""
    ratio = case.speedup(route, over)
    return ratio is not None and ratio.above_one and ratio.mid >= case.must_exceed(route, over)


@judges("cpp-speed")
def cpp_speed(pack: Pack) -> Judgement | None:
    """Mojo's representative against C++'s, as called, all devices; Mojo keeps up on a row unless C++ wins it: by an
    interval that excludes 1.0, beyond the noise band and by {MATTERS} or more. Holds when it keeps up on
    {CLAIM_HOLDS_SHARE:.0%} of the rows, in part on {CLAIM_PART_SHARE:.0%}. Noisy rows are not counted. Emulated GPU
    kernels have no times: their memory traffic stands in the evidence and decides nothing."""
    duels = [duel for case in cases(pack) if case.mode == "call" and (duel := case.duel()) and not duel.noisy]
    whole = spread(duel.ratio.mid for duel in duels)
    if whole is None:
        return None
    kept = sum(duel.won != CPP for duel in duels)
    devices = ", ".join(dict.fromkeys(duel.case.device for duel in duels))
    wins = sum(duel.won == MOJO for duel in duels)
    evidence = f"Keeps up on {kept} of {len(duels)} rows ({devices}), ahead on {wins}: speed of Mojo over C++ "
    evidence += f"{text.mean(whole)}."
    rows = [pointer for duel in duels for pointer in duel.pointers]
    traffic = [figure for side in gpu.emulated(pack).values() if (figure := gpu.traffic_words(side))]
    if traffic and not any(duel.case.device != "cpu" for duel in duels):
        evidence += f" No GPU was timed; emulated memory sectors relative to the least: {', '.join(traffic)}."
        rows += gpu.summary_rows(pack)
    return Judgement(share_word(kept, len(duels)), evidence, rows)


@judges("fusion")
def fusion(pack: Pack) -> Judgement | None:
    """Route max_graph on the large tensors as called, where its call is a small part, on ops that are more than one
    operation of MAX: holds when it reaches {FUSED:.0%} of the speed of the faster representative of both sides on
    {CLAIM_HOLDS_SHARE:.0%} of the rows, in part when it is shown to be faster than eager on {CLAIM_PART_SHARE:.0%} of
    them. By time: bytes moved are not counted. A noisy row counts only where its whole interval misses."""
    counted, reach, faster, level = 0, 0, 0, 0
    to_hand, to_eager, to_compile, rows = [], [], [], []
    for case in cases(pack):
        graph = case.cells.get("max_graph")
        if case.mode != "call" or case.size_class != "large" or case.op in SINGLE_OPERATIONS:
            continue
        if graph is None or not graph.ok:
            continue
        hands = [route for side in SIDES if (route := case.representative(side))]
        eager = case.cells.get("eager")
        if not hands or eager is None or not eager.ok:
            continue
        hand = min(hands, key=lambda route: case.cells[route].row["median_us"])
        by_hand, by_eager = case.speedup("max_graph", hand), case.speedup("max_graph", "eager")
        if by_hand is None or by_eager is None:
            continue
        reaches = by_hand.high >= FUSED
        if reaches and case.noisy("max_graph", hand, "eager"):
            continue
        counted += 1
        reach += reaches
        faster += shown_faster(case, "max_graph", "eager")
        to_hand.append(by_hand.mid)
        to_eager.append(by_eager.mid)
        rows += [graph.pointer, case.cells[hand].pointer, eager.pointer]
        compiled = case.speedup("max_graph", "compile")
        if compiled is not None:
            to_compile.append(compiled.mid)
            level += compiled.high >= FUSED
            rows.append(case.cells["compile"].pointer)
    if not counted:
        return None
    verdict = DOES_NOT_HOLD
    if reach >= CLAIM_HOLDS_SHARE * counted:
        verdict = HOLDS
    elif faster >= CLAIM_PART_SHARE * counted:
        verdict = IN_PART
    evidence = f"Of {text.count(counted, 'large row')}, {reach} reach the hand-written kernel ({_mean(to_hand)}) and "
    evidence += f"{faster} are faster than eager ({_mean(to_eager)})"
    if to_compile:
        evidence += f"; {level} of {len(to_compile)} reach torch.compile ({_mean(to_compile)})"
    return Judgement(verdict, evidence + ".", rows)


def _mean(values: Sequence[float]) -> str:
    return text.mean(spread(values))


@judges("rope")
def rope(pack: Pack) -> Judgement | None:
    """The talk's two large sizes, float32 or the first dtype measured, on each device of this pack: holds when the
    documented or graph route is shown to be faster than eager by {MATTERS} or more on all of them; in part when only
    some are, or only this repository's own route is."""
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
                fast.setdefault(route, []).append(shown_faster(case, route, "eager"))
                rows.append(case.cells[route].pointer)
                found.append(f"{route} {text.ratio_words(ratio)}")
        if found:
            parts.append(f"{case.sample} on {case.device}: {', '.join(found)}")
    if not fast:
        return None
    as_shown = [fast[route] for route in (DOCUMENTED[MOJO], "max_graph") if route in fast]
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
    route = case.representative(MOJO)
    ratio = case.speedup(route, "eager") if route else None
    return "." if ratio is None else f"; at the smallest size, {case.sample}, {route} has {text.ratio_words(ratio)}."
