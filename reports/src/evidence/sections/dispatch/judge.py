"""What is judged from the cost of a call: a criterion, the statement on small tensors, losses and what changed."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

from evidence.core import text
from evidence.core.interval import interval
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, REPRESENTATIVE, SIDES, side_of
from evidence.core.thresholds import CALL_MARGINS, CALL_MATTERS, CALL_MOVES, MATTERS, SMALL_ELEMENTS
from evidence.judge.beyond_noise import Shift, beyond_noise
from evidence.judge.comparison import NOT_MEASURED, RUN_TIME, Comparison, comparisons, corrected, joined, select
from evidence.judge.criteria import Criterion, Measured, absent, around, half_width
from evidence.judge.diff import (
    BETTER,
    CHANGED,
    REGRESSION,
    Diff,
    apart,
    change_of_status,
    common,
    name_of,
    to_eager,
)
from evidence.judge.groups import group, mean_words
from evidence.judge.losses import Loss, loss
from evidence.judge.questions import CPU
from evidence.judge.scope import Scope
from evidence.judge.significance import INTERVAL_DOF, smallest_effect
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.dispatch.row import DispatchRow
from evidence.sections.dispatch.table import call_of, dispatch, plain

CALL = "cost of a call"
MODES = {"hot": "tight loop", "gap": "after a gap"}


def compare(pack: Pack) -> list[Comparison]:
    """The plain call of both representatives on the CPU, in a tight loop and after a gap."""
    rows = dispatch(pack)
    compared = []
    for mode in MODES:
        cpp, mojo = call_of(rows, CPP, mode), call_of(rows, MOJO, mode)
        if cpp and mojo and cpp.time and mojo.time:
            compared.append(
                Comparison(
                    topic=CALL,
                    name=mode,
                    base=cpp.route,
                    route=mojo.route,
                    ratio=cpp.time.over(mojo.time),
                    least=CALL_MATTERS,
                    margins=CALL_MARGINS,
                    rows=(cpp.pointer, mojo.pointer),
                    noisy=cpp.noisy or mojo.noisy,
                    figures=(cpp.time.mid, mojo.time.mid),
                    unit="us",
                )
            )
    return corrected(compared)


def _words(call: Comparison) -> str:
    assert call.figures is not None
    return f"{call.base} {text.micros(call.figures[0])}, {call.route} {text.micros(call.figures[1])}"


def _dispatch(scope: Scope) -> Measured:
    if scope.device != CPU:
        return absent("the cost of a call was measured on the CPU")
    calls = [call for mode in MODES if (call := scope.comparison(CALL, mode))]
    if not calls:
        return absent("no dispatch row holds both sides")
    mid = fmean(math.log(call.ratio.mid) for call in calls)
    # an interval within one run does not know what another run can make of a call
    width = math.hypot(fmean(half_width(call.ratio) for call in calls), math.log(CALL_MATTERS))
    message = "; ".join(f"{MODES[call.name]} {_words(call)}" for call in calls)
    of_sides = zip(*(call.figures or () for call in calls), strict=True)
    natural = tuple(" and ".join(map(text.micros, times)) for times in of_sides)
    rows = tuple(row for call in calls for row in call.rows)
    note = " and ".join({"hot": "in a tight loop", "gap": "after a gap"}[call.name] for call in calls)
    measured = Measured(
        around(mid, width),
        message,
        rows,
        natural=(natural[0], natural[1]),
        note=note,
        smallest_effect=smallest_effect(width, INTERVAL_DOF, MATTERS),
    )
    return replace(measured, figures=calls[0].figures, unit=calls[0].unit) if len(calls) == 1 else measured


CRITERIA = (Criterion("dispatch", 40, "Cost of a call", _dispatch),)


def small(pack: Pack) -> Statement:
    """Small tensors: the calls of both representatives, and the run-time rows of small samples."""
    question = "Small tensors, dispatch"
    rule = (
        f"Call of {REPRESENTATIVE[CPP]} and {REPRESENTATIVE[MOJO]} with 16 elements, in a tight loop and after a gap, "
        f"and their run-time rows up to {SMALL_ELEMENTS:,} elements; contradiction is “mixed”. Calls must differ by a "
        f"factor of {CALL_MATTERS}, which is more than two runs differ by."
    )
    compared = comparisons(pack)
    verdicts: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    pointers: list[str] = []
    for mode, name in (("hot", "Call in a tight loop"), ("gap", "after a gap")):
        call = select(compared, CALL, mode)
        if call is None or call.figures is None:
            continue
        pointers += call.rows
        values[mode] = {"cpp": call.base, "cpp_us": call.figures[0], "mojo": call.route, "mojo_us": call.figures[1]}
        parts.append(f"{name}: {_words(call)}{', noisy' if call.noisy else ''}")
        verdicts.append(call.verdict)
    cases = [c for c in compared if (c.topic, c.device, c.size_class) == (RUN_TIME, "cpu", "small")]
    exceptions = detail = None
    if cases:
        word, values["runtime"], exceptions = group(cases)
        verdicts.append(None if word == NOT_MEASURED else word)
        pointers += [pointer for case in cases for pointer in case.rows]
        if "mojo_over_cpp" in values["runtime"]:
            detail = f"Small samples: {mean_words(values['runtime'])}."
    if not parts and detail is None:
        return not_measured("small", question, rule, why_not(pack, "dispatch"))
    others = [row for row in plain(dispatch(pack)) if row.mode == "hot" and row.time and side_of(row.route)]
    others = [row for row in others if row.route not in REPRESENTATIVE.values()]
    if others:
        calls = ", ".join(f"{row.route} {text.micros(row.time.mid)}" for row in others if row.time)
        detail = f"{detail + ' ' if detail else ''}Other routes in a tight loop, which decide nothing: {calls}."
        pointers += [row.pointer for row in others]
    evidence = "; ".join(parts) + "." if parts else str(detail)
    return Statement("small", question, joined(verdicts), rule, evidence, pointers, values, exceptions,
                     detail if parts else None)  # fmt: skip


STATEMENTS = (Asked("small", 20, small),)


def losses(pack: Pack) -> list[Loss]:
    """Calls that cost a side's representative more."""
    what = {"hot": "call of 16 elements", "gap": "call of 16 elements after a gap"}
    lost = (loss(call, side, "dispatch", what[call.name]) for call in compare(pack) for side in SIDES)
    return [entry for entry in lost if entry]


KEY = ("route", "tensors", "mode", "threads", "openmp")


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """The cost of a call against eager's: beyond the noise of both runs, and beyond what a fresh process alone can move
    it by: CALL_MOVES, or the range of either run's processes where that is wider; worse when the time rose too."""
    pairs = []
    for a, b in common(before, after, DispatchRow, KEY, changes):
        change_of_status("dispatch", name_of(a, KEY), a, b, changes)
        old, new = to_eager(a), to_eager(b)
        old_time, new_time = (interval(row.median_us, row.low_us, row.high_us) for row in (a, b))
        if old is None or new is None or old_time is None or new_time is None or a.noisy or b.noisy:
            continue
        pairs.append((a, b, old, new, old_time, new_time))
    beyond = beyond_noise([Shift.between(old, new) for _, _, old, new, _, _ in pairs])
    for is_beyond, (a, b, old, new, old_time, new_time) in zip(beyond, pairs, strict=True):
        factor, time = new.mid / old.mid, new_time.mid / old_time.mid
        matters = max(CALL_MOVES, old.high / old.low, new.high / new.low)
        if not is_beyond or 1 / matters < factor < matters or not apart(old_time, new_time):
            continue
        kind = REGRESSION if factor < 1 and time > 1 else BETTER if factor > 1 and time < 1 else CHANGED
        changes.add("dispatch", kind, name_of(a, KEY), text.micros(a.median_us), text.micros(b.median_us), time)
