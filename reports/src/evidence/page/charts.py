"""What the interactive charts draw: numbers beside the words that the page shows for them, as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.page.common import Context, anchor
from evidence.page.style import COLOURS, DARK_COLOURS, PART_COLOURS, SYMBOLS, UNKNOWN
from evidence.sections.build.table import KIND_NAMES, build
from evidence.sections.code.table import BUCKETS, code, code_ops, code_routes
from evidence.sections.dispatch.page import MODES, condition, condition_words
from evidence.sections.dispatch.readings import CONTEXTS, Waterfall, ladders, waterfalls
from evidence.sections.dispatch.table import Dispatch, dispatch
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, Cell

MODE_NAMES = {"call": "as called", "kernel": "kernel alone", **MODES}
DIMENSIONS = {
    "op": "Op",
    "dtype": "Dtype",
    "size": "Size class",
    "device": "Device",
    "route": "Route",
    "mode": "Mode",
}


def charts(pack: Pack, all_cases: list[Case]) -> Context:
    """All chart data of the page."""
    return {
        "colours": {"light": COLOURS, "dark": {**COLOURS, **DARK_COLOURS}, "unknown": UNKNOWN},
        "symbols": SYMBOLS,
        "parts": PART_COLOURS,
        "ticks": {"ratio": _ticks(text.factor, -4, 5), "us": _ticks(text.micros, -3, 9),
                  "s": _ticks(text.seconds, -6, 5), "elements": _ticks(text.elements, 0, 12, (1,)),
                  "share": [[share / 100, f"{share} %"] for share in range(0, 101, 20)]},
        "runtime": runtime_rows(pack, all_cases),
        "dispatch": dispatch_views(dispatch(pack)),
        "ladder": ladder_views(pack, all_cases),
        "waterfall": waterfall_views(pack),
        "build": build_view(pack),
        "code": code_views(pack),
        "footprint": footprint_view(pack),
    }  # fmt: skip


def filters(pack: Pack, all_cases: Sequence[Case]) -> list[Context]:
    """The page's filters: for each dimension the values that this pack has, in report order."""
    some = dispatch(pack)
    routes = {route for case in all_cases for route in case.cells} | {row.route for row in some}
    routes |= {row["route"] for row in pack.rows("crossover")}
    sizes = {case.size_class for case in all_cases}
    modes = {case.mode for case in all_cases} | {row.mode for row in some}
    values: dict[str, list[str]] = {
        "op": list(dict.fromkeys([case.op for case in all_cases] + [row["op"] for row in pack.rows("crossover")])),
        "dtype": list(dict.fromkeys(case.dtype for case in all_cases)),
        "size": [name for name in SIZE_CLASSES if name in sizes],
        "device": list(dict.fromkeys(case.device for case in all_cases)),
        "route": sorted(routes, key=order),
        "mode": [mode for mode in MODE_NAMES if mode in modes],
    }
    return [
        {"key": key, "name": name, "values": [{"value": one, "name": MODE_NAMES.get(one, one)} for one in values[key]]}
        for key, name in DIMENSIONS.items()
        if values[key]
    ]


def _ticks(words: Any, low: int, high: int, steps: tuple[int, ...] = (1, 2, 5)) -> list[list[Any]]:
    """Candidate ticks of a logarithmic axis with their words; the page picks those that fit."""
    spots = [float(f"{step}e{power}") for power in range(low, high) for step in steps]
    return [[spot, text.tick(words(spot))] for spot in spots]


def bands(pack: Pack) -> dict[tuple[str, ...], float]:
    """(device, route, base, mode, size class) -> the ratio that the spread between processes alone can produce."""
    keys = ("device", "route", "base", "mode", "size_class")
    return {tuple(row[key] for key in keys): row["band"] for row in pack.rows("noise") if row["band"] is not None}


def runtime_rows(pack: Pack, all_cases: Sequence[Case]) -> list[Context]:
    """Every run-time row with what the chart can show of it."""
    known = bands(pack)
    rows = []
    for number, case in enumerate(all_cases):
        for route in sorted(case.cells, key=order):
            rows.append(_runtime_row(number, case, case.cells[route], known))
    return rows


def _runtime_row(number: int, case: Case, cell: Cell, known: dict[tuple[str, ...], float]) -> Context:
    route = cell.route
    shown = {}
    for base, ratio in (("eager", case.speedup(route, "eager")), ("cpp", case.speedup(route, "cpp"))):
        if ratio is not None and route != base and base in case.cells:
            band = known.get((case.device, route, base, case.mode, case.size_class))
            shown[base] = _measure(ratio, text.factor(ratio.mid), band)
    if cell.time is not None:
        shown["us"] = _measure(cell.time, text.micros(cell.time.mid))
    share = cell.row.get("roofline_share")
    if cell.ok and share is not None:
        shown["share"] = _measure(Interval(share, share, share), f"{share:.0%}")
    because = cell.row.get("noisy_because")
    words = [f"{case.op}, {case.label}, {case.dtype}, {case.device}, {MODE_NAMES.get(case.mode, case.mode)}", route]
    words.append(f"time {text.micros(cell.time.mid)}" if cell.time else str(cell.row["status"]))
    for base in ("eager", "cpp"):
        if base in shown:
            words.append(f"speed to {base} {text.ratio_words(case.speedup(route, base))}")
    if cell.noisy:
        words.append(f"noisy: {because}" if because else "noisy")
    return {
        "id": anchor(cell.pointer),
        "case": number,
        "title": f"{case.label}",
        "op": case.op,
        "dtype": case.dtype,
        "size": case.size_class,
        "device": case.device,
        "route": route,
        "mode": case.mode,
        "noisy": cell.noisy,
        "status": "" if cell.ok else cell.row["status"],
        "show": shown,
        "tip": words,
    }


def _measure(value: Interval, words: str, band: float | None = None) -> list[Any]:
    """Middle, low, high, words, whether a difference from 1 is shown, half-width of the band (a factor)."""
    decided = not value.holds_one
    if band is not None:
        decided = decided and not 1 / band <= value.mid <= band
    return [value.mid, value.low, value.high, words, decided, band]


def _mark(route: str, value: Interval | None, words: str, tip: Sequence[str], noisy: bool = False,
          row: str | None = None) -> Context:  # fmt: skip
    shown = None if value is None else [value.mid, value.low, value.high, words, True, None]
    return {"route": route, "value": shown, "words": words, "tip": list(tip), "noisy": noisy, "row": row}


def dispatch_views(rows: Sequence[Dispatch]) -> list[Context]:
    """Views of the dispatch rows: the plain call; more tensors; threads and OpenMP; compiled functions."""
    plain = [row for row in rows if row.row["threads"] == 1 and row.row["openmp"] == "idle"]
    tensors = {row.row["tensors"] for row in plain}
    usual = 2 if 2 in tensors else min(tensors, default=2)
    chosen = {
        "One call, two tensors" if usual == 2 else "One call": [row for row in plain if row.row["tensors"] == usual],
        "By number of tensors, tight loop": [row for row in plain if row.mode == "hot"],
        "By number of tensors, in a compiled function": [row for row in plain if row.mode == "compiled"],
        "By number of tensors, 1 ms apart": [row for row in plain if row.mode == "gap"],
        "Threads and OpenMP": [row for row in rows if row not in plain],
    }
    return [{"name": name, "groups": _dispatch_groups(some)} for name, some in chosen.items() if some]


def _dispatch_groups(rows: Sequence[Dispatch]) -> list[Context]:
    groups: dict[str, list[Context]] = {}
    for row in rows:
        words = condition_words(*condition(row))
        title = f"{words[0].upper()}{words[1:]}, {text.count(row.row['tensors'], 'tensor')}"
        said = text.micros(row.time.mid) if row.time else row.status
        tip = [title, row.route, said if row.time else row.message or row.status]
        mark = _mark(row.route, row.time, said, tip, row.noisy, anchor(row.pointer))
        groups.setdefault(title, []).append({**mark, "mode": row.mode})
    return [{"title": title, "marks": marks} for title, marks in groups.items()]


def ladder_views(pack: Pack, all_cases: Sequence[Case]) -> list[Context]:
    """Time against size: the ladder of sizes, and the benchmark samples of each op, dtype and device."""
    views = []
    for op, lines in ladders(pack).items():
        some = [_line(route, points) for route, points in lines.items()]
        views.append({"group": "Ladder of sizes", "name": op, "op": op, "lines": some})
    groups: dict[tuple[str, str, str], dict[str, list[tuple[int, float]]]] = {}
    for case in all_cases:
        for route in sorted(case.cells, key=order):
            time = case.cells[route].time
            if case.mode == "call" and time is not None:
                found = groups.setdefault((case.op, case.dtype, case.device), {})
                found.setdefault(route, []).append((case.elements, time.mid))
    for (op, dtype, device), found in groups.items():
        if max(len(points) for points in found.values()) > 1:
            name = ", ".join((op, dtype, *([] if device == "cpu" else [device])))
            some = [_line(route, sorted(found[route])) for route in sorted(found, key=order)]
            views.append({"group": "Benchmark samples", "name": name, "op": op, "lines": some})
    return views


def _line(route: str, points: Sequence[tuple[int, float]]) -> Context:
    tips = [f"{route}, {text.elements(size)} elements: {text.micros(time)}" for size, time in points]
    return {"route": route, "x": [size for size, _ in points], "y": [time for _, time in points], "tips": tips,
            "words": f"{text.micros(points[0][1])} to {text.micros(points[-1][1])}"}  # fmt: skip


CHEAP_US = 10


def waterfall_views(pack: Pack) -> list[Context]:
    """Stacked bars: cheap routes share a panel, dear ones have panels, and scales, of their own."""
    timed = [one for one in waterfalls(pack) if one.whole and one.whole.time]
    views = []
    for context, title in CONTEXTS.items():
        bars = [one for one in timed if one.context == context]
        cheap = [one for one in bars if one.whole and one.whole.time and one.whole.time.mid < CHEAP_US]
        for some in (cheap, *([one] for one in bars if one not in cheap)):
            if some:
                names = ", ".join(one.route for one in some)
                views.append({"title": f"{names}: {title}", "bars": [_bar(one) for one in some]})
    return views


def _bar(one: Waterfall) -> Context:
    assert one.whole is not None
    assert one.whole.time is not None
    parts = [
        {"name": piece.name, "value": max(piece.time.mid, 0.0), "words": text.micros(max(piece.time.mid, 0.0))}
        for piece in one.pieces
        if piece.time
    ]
    return {"route": one.route, "whole": one.whole.time.mid, "words": text.micros(one.whole.time.mid), "parts": parts}


def build_view(pack: Pack) -> list[Context]:
    """Build stages as groups of marks."""
    groups = []
    for kind, stages in build(pack).items():
        marks = []
        name = KIND_NAMES.get(kind, kind.replace("_", " "))
        for route, stage in stages.items():
            words = text.seconds(stage.time.mid) if stage.time else stage.status
            tip = [name, route, words, *([stage.message] if stage.message else [])]
            value = stage.time if stage.time and stage.time.low > 0 else None
            marks.append(_mark(route, value, words, tip, row=anchor(stage.pointer)))
        groups.append({"title": name, "marks": marks})
    return groups


def code_views(pack: Pack) -> list[Context]:
    """Stacked tokens per route: all ops with what they share, and each op's own."""
    routes = code_routes(pack)
    if not routes:
        return []
    bars = []
    for route in routes:
        own = [code(pack, route, bucket=bucket, shared=False).tokens for bucket in BUCKETS]
        bars.append(_tokens(route, [*own, code(pack, route, shared=True).tokens]))
    views = [{"name": "All ops and what they share", "bars": bars}]
    for op in code_ops(pack):
        bars = []
        for route in routes:
            own = [code(pack, route, op=op, bucket=bucket, shared=False).tokens for bucket in BUCKETS]
            if sum(own):
                bars.append(_tokens(route, own))
        views.append({"name": f"{op}, its own code", "bars": bars})
    return views


def _tokens(route: str, counts: Sequence[int]) -> Context:
    names = (*BUCKETS, "shared")
    parts = [{"name": name, "value": count, "words": f"{count:,}"} for name, count in zip(names, counts, strict=False)]
    return {"route": route, "whole": sum(counts), "words": f"{sum(counts):,}", "parts": parts}


def footprint_view(pack: Pack) -> list[Context]:
    """Bytes installed on top of PyTorch, to build and to run, per route, largest packages first."""
    base = {row["package"] for row in pack.rows("footprint") if row["route"] == "eager"}
    rows = [row for row in pack.rows("footprint") if row["bytes"] and row["package"] not in base]
    views = []
    for purpose, title in (
        ("build", "To build, as declared, on top of PyTorch"),
        ("run", "To run, on top of PyTorch"),
    ):
        bars = []
        for route in sorted({row["route"] for row in rows}, key=order):
            some = [row for row in rows if (row["route"], row["purpose"]) == (route, purpose)]
            if some:
                bars.append(_packages(route, some))
        if bars:
            views.append({"title": title, "bars": bars})
    return views


MOST_PACKAGES = 5


def _packages(route: str, some: Sequence[Context]) -> Context:
    ranked = sorted(some, key=lambda row: -row["bytes"])
    parts = [{"name": row["package"], "value": row["bytes"] / 1e6, "words": text.size(row["bytes"])}
             for row in ranked[:MOST_PACKAGES]]  # fmt: skip
    rest = sum(row["bytes"] for row in ranked[MOST_PACKAGES:])
    if rest:
        name = text.count(len(ranked) - MOST_PACKAGES, "further entry", "further entries")
        parts.append({"name": name, "value": rest / 1e6, "words": text.size(rest)})
    whole = sum(row["bytes"] for row in some)
    return {"route": route, "whole": whole / 1e6, "words": text.size(whole), "parts": parts}
