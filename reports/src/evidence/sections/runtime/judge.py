"""What is judged from run time: criteria, claims, statements, losses and what changed between two packs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, DOCUMENTED, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import (
    CLAIM_HOLDS_SHARE,
    CLAIM_PART_SHARE,
    CONFIDENCE,
    EQUAL_MARGINS,
    FUSED,
    LARGE_ELEMENTS,
    LEAST_OPS,
    MATTERS,
    ROPE_LARGE_SAMPLES,
    SINGLE_OPERATIONS,
    SMALL_ELEMENTS,
    WIN_SHARE,
)
from evidence.judge.claims import Claim
from evidence.judge.comparison import RUN_TIME, Comparison
from evidence.judge.criteria import Criterion, Measured, absent
from evidence.judge.equivalence import LEVEL
from evidence.judge.groups import (
    group,
    group_words,
    mean_equal_within,
    mean_smallest_effect,
    mean_words,
    over_ops,
)
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, share_word
from evidence.judge.losses import Loss, loss
from evidence.judge.scope import Scope
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.runtime.cases import KERNEL_ALONE, Case, called, cases, first_dtype
from evidence.sections.runtime.changes import diff as diff
from evidence.sections.runtime.worth import custom_op


def compare(pack: Pack) -> list[Comparison]:
    """C++ against Mojo on every case, as called and the kernel alone, corrected for the rows of a size class."""
    return [duel for case in cases(pack) if (duel := case.duel())]


# criteria


def _run_time(size_class: str) -> Callable[[Scope], Measured]:
    def measure(scope: Scope) -> Measured:
        duels = [
            duel
            for duel in scope.comparisons
            if (duel.topic, duel.device, duel.size_class) == (RUN_TIME, scope.torch_device, size_class)
        ]
        quiet = [duel for duel in duels if not duel.noisy]
        ops = list(dict.fromkeys(duel.op for duel in quiet))
        if not duels:
            return absent(f"no run-time row of {size_class} tensors holds both sides")
        if 2 * len(quiet) < len(duels):
            return absent(f"{len(duels) - len(quiet)} of {len(duels)} rows of {size_class} tensors are noisy")
        if len(ops) < LEAST_OPS:
            return absent(f"only {', '.join(ops)} was measured: one op says nothing of another")
        rows = tuple(dict.fromkeys(pointer for duel in quiet for pointer in duel.rows))
        message = f"{text.count(len(quiet), 'row')} of {text.count(len(ops), 'op')}: C++ wins "
        message += f"{sum(duel.won == CPP for duel in quiet)}, Mojo {sum(duel.won == MOJO for duel in quiet)}"
        mean = over_ops(quiet)
        return Measured(
            mean,
            message,
            rows,
            equal_within=mean_equal_within(quiet),
            smallest_effect=mean_smallest_effect(mean, len(ops)),
        )

    return measure


CRITERIA = (
    Criterion("run_large", 10, "Run time of large tensors", _run_time("large")),
    Criterion("run_middle", 20, "Run time of middle tensors", _run_time("middle")),
    Criterion("run_small", 30, "Run time of small tensors", _run_time("small")),
)


# claims


def cpp_speed(pack: Pack) -> Judgement | None:
    """Mojo's representative against C++'s, as called, all devices; Mojo keeps up on a row unless C++ wins it: by an
    interval that excludes 1.0, beyond the noise band and by {MATTERS} or more. Holds when it keeps up on
    {CLAIM_HOLDS_SHARE:.0%} of the rows, in part on {CLAIM_PART_SHARE:.0%}. Noisy rows are not counted. Emulated GPU
    kernels have no times: their memory traffic stands in the evidence and decides nothing."""
    duels = [duel for duel in compare(pack) if duel.topic == RUN_TIME and not duel.noisy]
    whole = spread(duel.ratio.mid for duel in duels)
    if whole is None:
        return None
    kept = sum(duel.won != CPP for duel in duels)
    devices = ", ".join(dict.fromkeys(duel.device for duel in duels))
    wins = sum(duel.won == MOJO for duel in duels)
    evidence = f"Keeps up on {kept} of {len(duels)} rows ({devices}), ahead on {wins}: speed of Mojo over C++ "
    evidence += f"{text.mean(whole)}."
    return Judgement(share_word(kept, len(duels)), evidence, [pointer for duel in duels for pointer in duel.rows])


def fusion(pack: Pack) -> Judgement | None:
    """Route max_graph on the large tensors as called, where its call is a small part, on ops that are more than one
    operation of MAX: holds when it reaches {FUSED:.0%} of the speed of the faster representative of both sides on
    {CLAIM_HOLDS_SHARE:.0%} of the rows, in part when it is shown to be faster than eager on {CLAIM_PART_SHARE:.0%} of
    them. By time: bytes moved are not counted. A noisy row counts only where its whole interval misses."""
    by_hand, by_eager, by_compile, rows = [], [], [], []
    for case in cases(pack):
        if case.mode != "call" or case.size_class != "large" or case.op in SINGLE_OPERATIONS:
            continue
        hands = [route for side in SIDES if (route := case.representative(side))]
        hand = min(hands, key=lambda route: case.cells[route].row.median_us or 0.0, default="")
        to_hand, to_eager, to_compile = (case.compare(base, "max_graph") for base in (hand, "eager", "compile"))
        if to_hand is None or to_eager is None:
            continue
        if to_hand.ratio.high >= FUSED and (to_hand.noisy or to_eager.noisy):
            continue
        by_hand.append(to_hand)
        by_eager.append(to_eager)
        rows += [to_hand.rows[1], to_hand.rows[0], to_eager.rows[0]]
        if to_compile:
            by_compile.append(to_compile)
            rows.append(to_compile.rows[0])
    if not by_hand:
        return None
    reach, level = (sum(each.ratio.high >= FUSED for each in compared) for compared in (by_hand, by_compile))
    faster = sum(each.better == each.route for each in by_eager)
    verdict = DOES_NOT_HOLD
    if reach >= CLAIM_HOLDS_SHARE * len(by_hand):
        verdict = HOLDS
    elif faster >= CLAIM_PART_SHARE * len(by_hand):
        verdict = IN_PART
    evidence = f"Of {text.count(len(by_hand), 'large row')}, {reach} reach the hand-written kernel ({_mean(by_hand)}) "
    evidence += f"and {faster} are faster than eager ({_mean(by_eager)})"
    if by_compile:
        evidence += f"; {level} of {len(by_compile)} reach torch.compile ({_mean(by_compile)})"
    return Judgement(verdict, evidence + ".", rows)


def _mean(compared: Sequence[Comparison]) -> str:
    return text.mean(spread(each.ratio.mid for each in compared))


def rope(pack: Pack) -> Judgement | None:
    """The talk's two large sizes, float32 or the first dtype measured, on each device of this pack: holds when the
    documented or graph route is shown to be faster than eager by {MATTERS} or more on all of them; in part when only
    some are, or only this repository's own route is."""
    of_rope = [case for case in cases(pack) if case.op == "rope" and case.mode == "call"]
    dtype = first_dtype(of_rope, "rope")
    large = [case for case in of_rope if case.dtype == dtype and case.sample.endswith(ROPE_LARGE_SAMPLES)]
    if not large:
        return None
    fast: dict[str, list[bool]] = {}
    parts: list[str] = []
    rows: list[str] = []
    for case in large:
        compared = [each for route in case.passed(MOJO) if (each := case.compare("eager", route))]
        for each in compared:
            fast.setdefault(each.route, []).append(each.better == each.route)
            rows.append(each.rows[1])
        if compared:
            ratios = ", ".join(f"{each.route} {text.ratio_words(each.ratio)}" for each in compared)
            parts.append(f"{case.sample} on {case.device}: {ratios}")
    if not fast:
        return None
    as_shown = [fast[route] for route in (DOCUMENTED[MOJO], "max_graph") if route in fast]
    if any(len(wins) == len(large) and all(wins) for wins in as_shown):
        verdict = HOLDS
    elif any(any(wins) for wins in fast.values()):
        verdict = IN_PART
    else:
        verdict = DOES_NOT_HOLD
    return Judgement(verdict, "; ".join(parts) + _smallest(called(of_rope)), rows)


def _smallest(all_cases: Sequence[Case]) -> str:
    if not all_cases:
        return "."
    case = min(all_cases, key=lambda case: case.elements)
    route = case.representative(MOJO)
    ratio = case.speedup(route, "eager") if route else None
    return "." if ratio is None else f"; at the smallest size, {case.sample}, {route} has {text.ratio_words(ratio)}."


CLAIMS = (
    Claim("cpp-speed", 70, "C/C++ performance.", "run-time rows that hold both sides", cpp_speed),
    Claim("zero-cost", 80, "Zero-cost abstractions.",
          "a generic Mojo kernel against a hand-unrolled twin, foreach against explicit loops", None),
    Claim("fusion", 90, "The graph compiler fuses automatically.",
          "a graph_op expression against the hand-fused kernel and eager: time and bytes moved", fusion),
    Claim("rope", 100, "RoPE with MAX is faster than PyTorch on big sizes (MI300X: 1.20x at 8x4096x32x128, 0.11x at "
          "1x128x4x32).",
          "rope at the talk's four sizes, eager and at least one Mojo or MAX route", rope),
)  # fmt: skip


# statements


def by_size(device: str, size_class: str, pack: Pack) -> Statement | None:
    """C++ against Mojo on tensors of one size; None where the pack has no case to ask it of."""
    limits = {
        "large": f"{LARGE_ELEMENTS:,} elements and more",
        "middle": f"{SMALL_ELEMENTS:,} to {LARGE_ELEMENTS:,} elements",
    }
    place = "CPU" if device == "cpu" else device
    question = f"{size_class.capitalize()} tensors, {place}"
    rule = (
        f"Mojo's representative against C++'s as called, {limits[size_class]}: a row is won by "
        f"{MATTERS - 1:.0%} or more, outside the band that the spread between processes can produce, with an interval "
        f"that excludes 1.0 after Holm's correction for the number of rows. A side is ahead when it wins "
        f"{WIN_SHARE:.0%} of the rows and the geometric mean agrees, or when the {CONFIDENCE:.0%} interval of the mean "
        f"over ops shows it by {MATTERS - 1:.0%} or more; both are equal when the {LEVEL:.0%} interval of that mean "
        f"lies within {EQUAL_MARGINS[-1]:.0%} (two one-sided tests)."
    )
    on_device = [case for case in cases(pack) if case.device == device]
    of_size = [case for case in on_device if case.size_class == size_class]
    is_asked = of_size or (size_class == "large" and (device == "cpu" or on_device))
    if not is_asked:
        return None
    duels = [duel for case in of_size if (duel := case.duel())]
    as_called = [duel for duel in duels if duel.topic == RUN_TIME]
    kernel = [duel for duel in duels if duel.topic == KERNEL_ALONE]
    name = f"{size_class}-{device}"
    if not as_called:
        return not_measured(name, question, rule, why_not(pack, "runtime"))
    word, values, exceptions = group(as_called)
    evidence = group_words(values)
    detail = None
    if kernel:
        kernel_word, kernel_values, _ = group(kernel)
        values["kernel_alone"] = kernel_values | {"verdict": kernel_word}
        if "mojo_over_cpp" in kernel_values:
            detail = f"Kernel alone, outputs ready: {mean_words(kernel_values)}."
    rows = [pointer for duel in (*as_called, *kernel) for pointer in duel.rows]
    return Statement(name, question, word, rule, evidence, rows, values, exceptions, detail)


def no_gpu(pack: Pack) -> Statement | None:
    """That nothing was timed on a GPU; None where it was."""
    if any(case.device != "cpu" for case in cases(pack)):
        return None
    seen = pack.facts("machine").get("gpus")
    reason = "this run has no GPU rows, `--device cuda` makes them" if seen else "did not run: no device"
    return not_measured("gpu", "Run time, GPU", "as for the CPU, on a GPU's rows", reason)


STATEMENTS = (
    Asked("large-cpu", 10, partial(by_size, "cpu", "large")),
    Asked("middle-cpu", 11, partial(by_size, "cpu", "middle")),
    Asked("large-cuda", 12, partial(by_size, "cuda", "large")),
    Asked("middle-cuda", 13, partial(by_size, "cuda", "middle")),
    Asked("custom-op", 30, custom_op),
    Asked("gpu", 70, no_gpu),
)


# losses


def losses(pack: Pack) -> list[Loss]:
    """Cases as called on which a side's representative is slower than eager, than torch.compile or than the other side.

    A row is lost by the rule by which it is won: beyond its interval, corrected for the
    number of rows, the noise band and what matters.
    """
    all_cases = [case for case in cases(pack) if case.mode == "call"]
    of_op = {side: Counter(case.op for case in all_cases if case.representative(side)) for side in SIDES}
    lost = []
    for base in ("eager", "compile", CPP, MOJO):
        for side in SIDES:
            for case in all_cases:
                route = case.representative(side)
                rival = case.representative(base) if base in SIDES else base
                comparison = case.compare(route, rival) if route and rival and base != side else None
                entry = loss(comparison, side, f"run time against {SIDE_NAMES.get(base, base)}", case.name)
                if entry:
                    lost.append(replace(entry, group=case.op, of=of_op[side][case.op]))
    return lost
