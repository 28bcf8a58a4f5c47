"""Figures of run time: the catalogue at a glance, every row, and time against size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.judge.criteria import around, half_width
from evidence.page.common import anchor
from evidence.page.figure import Figure, Row, View, line_rows, mark, measured, rounded, single
from evidence.page.plots import GAP, OP_LABELS, compared, lines, marks
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, Cell, called, cases, first_dtype
from evidence.sections.runtime.row import NoiseRow

COMPARED = {"cpp": "C++", "mojo_aot": "Mojo", "mojo": "in MAX", "compile": "compile"}
"""Route -> its name in the figure of all ops, in which eager is the line at 1."""

MODE_NAMES = {"call": "as called", "kernel": "kernel alone"}
FILTERS = {"mode": MODE_NAMES, "size": {name: name for name in SIZE_CLASSES}}
HOLLOW = "A hollow mark means that the interval holds 1.0. A pale mark with ~ is noisy."
MEASURES = (
    View("eager", "speed relative to eager", marks("speed relative to eager, right is faster", "ratio", "eager")),
    View("cpp", "speed relative to cpp", marks("speed relative to cpp, right is faster", "ratio", "cpp"), still=False),
    View("us", "time", marks("time, left is faster", "us"), still=False),
    View("share", "share of the roofline", marks("share of the roofline, right is better", "share"), still=False),
)


def figures(pack: Pack) -> list[Figure]:
    """Figures of run time."""
    all_cases = cases(pack)
    return [ops_figure(all_cases), runtime_figure(pack, all_cases), size_figure(all_cases)]


def ops_figure(all_cases: Sequence[Case]) -> Figure:
    """The whole catalogue at a glance: per device one panel with C++, Mojo and PyTorch, per op one line."""
    rows: list[Row] = []
    for device in dict.fromkeys(case.device for case in all_cases):
        device_cases = called(all_cases, device)
        panel = "Speed by op" + ("" if device == "cpu" else f", {device}")
        measured_routes = {route for case in device_cases for route, cell in case.cells.items() if cell.ok}
        for line, op in enumerate(dict.fromkeys(case.op for case in device_cases)):
            of_op = [case for case in device_cases if case.op == op]
            rows += _op_rows(panel, line, op, device, of_op, [route for route in COMPARED if route in measured_routes])
    title, note = "Speed relative to eager, by op", (
        "Mark: geometric mean over samples and dtypes, as called; bar: its 95% interval. What was too noisy for a "
        "mean has no mark."
    )  # fmt: skip
    longest = max((len(row["op"]) for row in rows), default=0)
    labels = min(OP_LABELS, 7 * longest + 2 * GAP)
    spec = compared("speed relative to eager, right is faster", "eager", COMPARED, labels)
    return single("ops", title, note, spec, rows, markdown=True, readme=True)


def _op_rows(panel: str, line: int, op: str, device: str, cases: Sequence[Case], routes: Sequence[str]) -> list[Row]:
    rows = []
    for place, route in enumerate(routes):
        value = _over_samples(cases, route)
        caption = text.factor(value.mid) if value else "–"
        tip = f"{op}, {route}\n{text.ratio(value) if value else 'no time, or too noisy for a mean'}"
        offset = 2 * place / max(1, len(routes) - 1) - 1
        row = mark(panel, line, route, value, caption, label="" if place else op, op=op, device=device, tip=tip)
        column = list(COMPARED).index(route)
        rows.append({**row, "place": rounded(offset), **({"column": column} if column < 2 else {})})
    return rows


def _over_samples(cases: Sequence[Case], route: str) -> Interval | None:
    """Geometric mean of a route's speed relative to eager, over its quiet rows, where those are half of them or more.

    The rows share their processes, so that their errors are averaged and not taken as independent.
    """
    timed = [(case, ratio) for case in cases if (ratio := case.speedup(route, "eager")) is not None]
    quiet = [ratio for case, ratio in timed if not case.noisy("eager", route)]
    if not quiet or 2 * len(quiet) < len(timed):
        return None
    return around(fmean(math.log(ratio.mid) for ratio in quiet), fmean(map(half_width, quiet)))


def runtime_figure(pack: Pack, all_cases: Sequence[Case]) -> Figure:
    """Every row of run time: per op, dtype and mode one panel, per sample one group, per route one line."""
    known = bands(pack)
    rows = []
    for number, case in enumerate(all_cases):
        dtype = first_dtype(all_cases, case.op)
        for place, route in enumerate(sorted(case.cells, key=order)):
            # Where the reader chose none: one dtype and the call as a user makes it.
            needs = [key for key, extra in (("dtype", case.dtype != dtype), ("mode", case.mode != "call")) if extra]
            rows.append({**_runtime_row(100 * number + place, case, case.cells[route], known),
                         **({"needs": needs} if needs else {})})  # fmt: skip
    measures = tuple(view for view in MEASURES if any(view.key in row.get("by", ()) for row in rows))
    return Figure("runtime", "Run time", HOLLOW, measures or MEASURES[:1], tuple(rows))


def _runtime_row(line: int, case: Case, cell: Cell, known: dict[tuple[str, ...], float]) -> Row:
    route = cell.route
    mode = MODE_NAMES.get(case.mode, case.mode)
    panel = ", ".join((case.op, case.dtype, mode, *([] if case.device == "cpu" else [case.device])))
    by, tip = {}, [f"{case.op}, {case.label}, {case.dtype}, {case.device}, {mode}", route]
    tip.append(f"time {text.micros(cell.time.mid)}" if cell.time else cell.row.status)
    for base in ("eager", "cpp"):
        ratio = case.speedup(route, base)
        if ratio is not None and route != base:
            band = known.get((case.device, route, base, case.mode, case.size_class))
            by[base] = _ratio(ratio, case.noisy(route, base), band)
            tip.append(f"speed to {base} {text.ratio_words(ratio)}")
    if cell.time is not None:
        by["us"] = {**measured(cell.time), "text": text.micros(cell.time.mid) + (" ~" if cell.noisy else "")}
    share = cell.row.roofline_share
    if cell.ok and share is not None:
        by["share"] = {**measured(Interval(share, share, share)), "text": f"{share:.0%}"}
    if cell.noisy:
        tip.append(f"noisy: {cell.row.noisy_because or 'no reason was recorded'}")
    row = mark(panel, line, route, None, "" if cell.ok else cell.row.status, group=case.label, op=case.op,
               dtype=case.dtype, size=case.size_class, device=case.device, mode=case.mode, noisy=cell.noisy,
               tip="\n".join(tip), row=anchor(cell.pointer))  # fmt: skip
    return {**row, "by": by} if cell.ok else row


def _ratio(ratio: Interval, noisy: bool, band: float | None) -> Row:
    within = band is not None and 1 / band <= ratio.mid <= band
    shown = {**measured(ratio), "noisy": noisy, "hollow": ratio.holds_one or within, "band": band and rounded(band)}
    # Both at once do not fit beside the longest factor; the mark is hollow all the same.
    caption = f"{text.factor(ratio.mid)}{' ~' if noisy else ' ?' if ratio.holds_one else ''}"
    return {**{key: value for key, value in shown.items() if value}, "text": caption}


def bands(pack: Pack) -> dict[tuple[str, ...], float]:
    """(device, route, base, mode, size class) -> the ratio that the spread between processes alone can produce."""
    return {
        (row.device, row.route, row.base, row.mode, row.size_class): row.band
        for row in pack.table(NoiseRow)
        if row.band is not None
    }


def size_figure(all_cases: Sequence[Case]) -> Figure:
    """Time against size, as called, one line a route: where lines cross, the choice changes."""
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for case in all_cases:
        if case.mode == "call":
            groups.setdefault((case.op, case.dtype, case.device), []).append(case)
    rows, views, spec = [], [], lines()
    for (op, dtype, device), members in groups.items():
        name = ", ".join((op, dtype, *([] if device == "cpu" else [device])))
        sizes: dict[str, list[tuple[int, float]]] = {}
        for case in members:
            for route, cell in case.cells.items():
                if cell.time is not None:
                    sizes.setdefault(route, []).append((case.elements, cell.time.mid))
        if max(map(len, sizes.values()), default=0) > 1:
            views.append(View(name, name, spec, still=dtype == first_dtype(all_cases, op)))
            for route in sorted(sizes, key=order):
                rows += line_rows(name, op, route, sorted(sizes[route]))
    note = "Both axes logarithmic; a lower line is faster."
    return Figure("size", "Time against size", note, tuple(views), tuple(rows), choice="Op")
