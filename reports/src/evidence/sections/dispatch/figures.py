"""Figures of the cost of a call: the call, its parts, time from 16 elements on, and thread settings."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.interval import interval
from evidence.core.pack import Pack
from evidence.page.common import anchor
from evidence.page.figure import Figure, Row, View, line_rows, mark, rounded, single
from evidence.page.plots import lines, marks, parts
from evidence.sections.dispatch.page import MODES, condition, condition_words
from evidence.sections.dispatch.readings import CONTEXTS, Waterfall, ladders, waterfalls
from evidence.sections.dispatch.row import ThreadsRow
from evidence.sections.dispatch.table import Dispatch, dispatch, plain

FILTERS = {"mode": MODES}
SHORT_NAMES = {"call of 16 elements": "tight loop", "call of 16 elements after a gap": "after a gap"}
CHEAP_US = 10


def figures(pack: Pack) -> list[Figure]:
    """Figures of the cost of a call."""
    return [dispatch_figure(dispatch(pack)), waterfall_figure(pack), ladder_figure(pack), threads_figure(pack)]


def dispatch_figure(rows: Sequence[Dispatch]) -> Figure:
    """What one call of 16 elements costs: the plain call; more tensors; threads and OpenMP; compiled functions."""
    single_thread = [row for row in rows if row.row.threads == 1 and row.row.openmp == "idle"]
    calls = plain(rows)
    usual = {row.row.tensors for row in calls} == {2}
    chosen = {
        "One call, two tensors" if usual else "One call": calls,
        "By number of tensors, tight loop": [row for row in single_thread if row.mode == "hot"],
        "By number of tensors, in a compiled function": [row for row in single_thread if row.mode == "compiled"],
        "By number of tensors, 1 ms apart": [row for row in single_thread if row.mode == "gap"],
        "Threads and OpenMP": [row for row in rows if row not in single_thread],
    }
    spec = marks("time of one call, left is cheaper", "us", stems=True)
    views = tuple(View(name, name, spec, still=not number) for number, name in enumerate(chosen) if chosen[name])
    shown = tuple(_call(view, line, row) for view, calls in chosen.items() for line, row in enumerate(calls))
    return Figure("dispatch", "Cost of a call", "Logarithmic axis.", views, shown, markdown=True)


def _call(view: str, line: int, row: Dispatch) -> Row:
    label = condition_words(*condition(row))
    group = f"{label[0].upper()}{label[1:]}, {text.count(row.row.tensors, 'tensor')}"
    shown = row.status if row.time is None else text.micros(row.time.mid) + (" ~" if row.noisy else "")
    tip = "\n".join((group, row.route, shown if row.time else row.message or row.status))
    return mark("Call of a 16-element op", line, row.route, row.time, shown, view=view, group=group, noisy=row.noisy,
                mode=row.mode, tip=tip, row=anchor(row.pointer))  # fmt: skip


def waterfall_figure(pack: Pack) -> Figure:
    """The parts of a call one after another: cheap routes share a panel, others have panels and scales of their own."""
    timed = [call for call in waterfalls(pack) if call.whole and call.whole.time]
    rows: list[Row] = []
    for context, title in CONTEXTS.items():
        calls = [call for call in timed if call.context == context]
        cheap = [call for call in calls if _whole(call) < CHEAP_US]
        for shared in (cheap, *([call] for call in calls if call not in cheap)):
            panel = f"{', '.join(call.route for call in shared)}: {title}"
            for call in shared:
                rows += _parts(panel, len(rows), call)
    note = (
        "Parts of a call of two tensors, one after another, each measured apart; a thin line marks the whole call, "
        "timed beside its parts. What a call costs is the figure of “Cost of a call”."
    )
    return single("waterfall", "What a call is made of", note, parts("time, one part after another", "us"), rows)


def _whole(call: Waterfall) -> float:
    return call.whole.time.mid if call.whole and call.whole.time else 0.0


def _parts(panel: str, line: int, call: Waterfall) -> list[Row]:
    rows, start = [], 0.0
    for place, piece in enumerate(piece for piece in call.pieces if piece.time):
        assert piece.time is not None
        # A part that took longer alone than within the call has no time.
        spent = max(piece.time.mid, 0.0)
        shown = text.micros(spent) if spent else "below zero"
        group, tip = f"{call.route}: {text.micros(_whole(call))}", f"{call.route}\n{piece.name}: {shown}"
        row = mark(panel, line + place, call.route, None, shown, label=piece.name, group=group, tip=tip)
        rows.append({**row, "start": rounded(start), "end": rounded(start + spent), "whole": rounded(_whole(call))})
        start += spent
    return rows


def ladder_figure(pack: Pack) -> Figure:
    """Time against size for every route that compiles nothing, one view an op."""
    rows, views, spec = [], [], lines()
    for op, sizes in ladders(pack).items():
        views.append(View(op, op, spec))
        for route, points in sizes.items():
            rows += line_rows(op, op, route, points)
    note = "As called, both axes logarithmic; a lower line is faster. Where lines cross, the choice changes."
    return Figure("ladder", "Time against size, from 16 elements on", note, tuple(views), tuple(rows), choice="Op")


def threads_figure(pack: Pack) -> Figure:
    """Each call under each setting, as a factor of the default: right of the line is faster."""
    measured = [row for row in pack.table(ThreadsRow) if row.ratio_to_default is not None]
    rows: list[Row] = []
    for row in sorted(measured, key=lambda row: row.elements):
        ratio = interval(row.ratio_to_default, row.ratio_low, row.ratio_high)
        assert ratio is not None
        when = "alone" if row.pattern == "alone" else "after a call that used the other pool"
        shown = text.factor(ratio.mid)
        rows.append(mark(f"{text.elements(row.elements)} elements, {when}", len(rows), row.route, ratio, shown,
                         group=row.setting, hollow=ratio.holds_one,
                         tip=f"{row.route}, {row.setting}\n{text.ratio_words(ratio)}"))  # fmt: skip
    note = "Speed relative to the default settings, right is faster; a hollow mark means that the interval holds 1.0."
    return single("threads", "Thread settings", note, marks("speed relative to the default", "ratio", "default"), rows)
