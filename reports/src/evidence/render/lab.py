"""The dispatch lab on the page: what its tables print, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from evidence.analyse import text
from evidence.analyse.lab import (
    CONTEXTS,
    Waterfall,
    ladders,
    reaches,
    thread_advice,
    waterfalls,
    why_compiled,
)
from evidence.analyse.numbers import Interval, interval
from evidence.analyse.routes import order
from evidence.analyse.stages import Dispatch, dispatch
from evidence.pack import Pack, Row
from evidence.render.picture import WIDTH, Panel, Picture
from evidence.render.rows import LEFT, RIGHT, Group, Mark, draw_rows, height, size_axes, spaced
from evidence.render.style import Ink, colour, known, marker

Context = dict[str, Any]

MODES = {"hot": "tight loop", "gap": "1 ms apart", "compiled": "in a compiled function"}
PART_COLOURS = {
    "dispatcher": "#56b4e9",
    "dispatcher and custom_op": "#56b4e9",
    "Python": "#f0e442",
    "output allocation": "#009e73",
    "output and argument checks": "#009e73",
    "argument checks": "#0072b2",
    "DLPack and Buffer": "#cc79a7",
    "engine hand-off": "#d55e00",
    "engine, buffers just made": "#e69f00",
    "kernel": "#000000",
    "MLIR context": "#999933",
    "model looked up by shape": "#f0e442",
    "the op itself": "#d55e00",
    "guards and wrapper": "#56b4e9",
    "Python under Dynamo": "#f0e442",
    "slower engine hand-off": "#e69f00",
    "not explained": "#a9a9a9",
}


def lab_context(pack: Pack) -> Context:
    """What `lab.html` prints apart from the pictures."""
    return {
        "matrix": dispatch_matrix(pack),
        "waterfalls": [_waterfall(one) for one in waterfalls(pack) if one.whole is not None],
        "gaps": gap_table(pack),
        "why_compiled": why_compiled(pack),
        "crossover": crossover_matrix(pack),
        "threads": thread_table(pack),
        "advice": thread_advice(pack),
    }


def _condition(row: Dispatch) -> tuple[str, int, str]:
    return row.mode, row.row["threads"], row.row["openmp"]


def condition_words(mode: str, threads: int, openmp: str) -> str:
    """`tight loop, 4 threads, OpenMP active`."""
    words = MODES[mode]
    if threads > 1:
        words += f", {threads} Python threads"
    return words + (", OpenMP active" if openmp == "active" else "")


def dispatch_matrix(pack: Pack) -> Context:
    """Routes against numbers of tensors, one block a condition."""
    rows = dispatch(pack)
    tensors = sorted({row.row["tensors"] for row in rows})
    blocks = []
    for condition in dict.fromkeys(_condition(row) for row in rows):
        chosen = [row for row in rows if _condition(row) == condition]
        lines = []
        for route in sorted({row.route for row in chosen}, key=order):
            cells = {row.row["tensors"]: row for row in chosen if row.route == route}
            lines.append({"route": route, "cells": [_dispatch_cell(cells.get(number)) for number in tensors]})
        words = condition_words(*condition)
        blocks.append({"name": words[0].upper() + words[1:], "rows": lines})
    return {"tensors": tensors, "blocks": blocks}


def _dispatch_cell(row: Dispatch | None) -> Context:
    if row is None:
        return {"text": "–", "note": "", "noisy": False, "bad": False}
    if row.time is None:
        return {"text": row.status, "note": row.message or "", "noisy": False, "bad": True}
    ratio = interval(row.row.get("ratio_to_eager"), row.row.get("ratio_low"), row.row.get("ratio_high"))
    note = "" if ratio is None else f"{text.factor(ratio.mid)} eager"
    return {"text": text.micros(row.time.mid), "note": note, "noisy": row.noisy, "bad": False}


def _waterfall(one: Waterfall) -> Context:
    pieces = [one.whole, *one.pieces] if one.whole else one.pieces
    title = one.route if one.context == "call" else f"{one.route} in a compiled function"
    share = one.explained
    return {
        "title": title,
        "explained": None if share is None else f"{min(max(share, 0.0), 9.99):.0%} of the call explained",
        "rows": [
            {
                "id": piece.pointer.strip("/").replace("/rows/", "-"),
                "name": piece.name,
                "time": _signed(piece.time) if piece.time else (piece.message or "was not timed"),
                "bad": piece.time is None,
                "how": piece.how,
                "strong": piece is one.whole,
            }
            for piece in pieces
        ],
    }


def _signed(value: Interval) -> str:
    def micros(number: float) -> str:
        return ("−" if number < 0 else "") + text.micros(abs(number))

    if abs(value.mid) < 0.005:
        return "under 0.005\u00a0µs"
    return f"{micros(value.mid)} ({micros(value.low)} to {micros(value.high)})"


def gap_table(pack: Pack) -> Context | None:
    """The engine's hand-off, and a C++ op beside it, after other work of a given length."""
    lines = [(one.route, one.details) for one in waterfalls(pack) if one.details]
    if not lines:
        return None
    names = [piece.name.split(" after ")[-1].removesuffix(" of other work") for piece in lines[0][1]]
    return {
        "gaps": names,
        "rows": [
            {
                "route": f"{route}: {details[0].name.split(' after ')[0]}",
                "cells": [text.micros(piece.time.mid) if piece.time else "–" for piece in details],
            }
            for route, details in lines
        ],
    }


def crossover_matrix(pack: Pack) -> Context:
    """Ops against routes, each with the two questions."""
    found = reaches(pack)
    routes = sorted({one.route for one in found}, key=order)
    questions = list(dict.fromkeys((one.against, one.factor) for one in found))
    rows = []
    for op in dict.fromkeys(one.op for one in found):
        for against, factor in questions:
            some = {one.route: one for one in found if (one.op, one.against, one.factor) == (op, against, factor)}
            if some:
                words = "no slower than eager" if against == "eager" else f"{text.factor(factor)} of {against}"
                cells = [some[route].text if route in some else "–" for route in routes]
                rows.append({"op": op, "question": words, "cells": cells})
    return {"routes": routes, "rows": rows}


def thread_table(pack: Pack) -> Context:
    """Calls against settings."""
    rows = pack.rows("threads")
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    lines: dict[tuple[str, int, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row["route"], row["elements"], row.get("pattern") or ""), {})[row["setting"]] = row
    patterns = {"alone": "alone", "alternating": "after the other pool"}
    return {
        "settings": settings,
        "rows": [
            {
                "route": route,
                "elements": text.elements(size),
                "pattern": patterns.get(pattern, pattern),
                "cells": [_thread_cell(some.get(setting)) for setting in settings],
            }
            for (route, size, pattern), some in sorted(
                lines.items(), key=lambda item: (item[0][1], item[0][2], order(item[0][0]))
            )
        ],
    }


def _thread_cell(row: Row | None) -> Context:
    if row is None:
        return {"text": "–", "note": "", "bad": False}
    if row["median_us"] is None:
        return {"text": row["status"], "note": row.get("message") or "", "bad": True}
    note = ""
    if row["ratio_to_default"] is not None:
        one = row["ratio_low"] <= 1 <= row["ratio_high"]
        note = "no diff." if one else text.factor(row["ratio_to_default"])
    return {"text": text.micros(row["median_us"]), "note": note, "bad": False}


def lab_pictures(pack: Pack) -> list[Picture]:
    """The lab's pictures, those that the pack has rows for."""
    found = [tensors_picture(dispatch(pack)), waterfall_picture(pack), ladder_picture(pack), threads_picture(pack)]
    return [picture for picture in found if picture is not None and picture.panels]


def tensors_picture(rows: Sequence[Dispatch]) -> Picture | None:
    """Cost of a call beside OpenMP, in threads and in a compiled function, by number of tensors."""
    groups = []
    for condition in dict.fromkeys(_condition(row) for row in rows):
        for number in sorted({row.row["tensors"] for row in rows if _condition(row) == condition}):
            plain = condition in (("hot", 1, "idle"), ("gap", 1, "idle"))
            if (plain and number == 2) or (not plain and number != 2) or (condition[0] == "gap" and number != 2):
                continue  # the two plain ones of two tensors are the first picture
            marks = tuple(
                Mark(row.route, row.time, text.micros(row.time.mid) if row.time else row.status, colour(row.route),
                     marker(row.route), faint=row.noisy)
                for row in rows if _condition(row) == condition and row.row["tensors"] == number
            )  # fmt: skip
            groups.append((f"{number} tensor{'s' if number > 1 else ''}, {condition_words(*condition)}", marks))
    drawn = [_mark_panel(title, marks) for title, marks in groups if any(mark.value for mark in marks)]
    if not drawn:
        return None
    note = "Calls of 16 elements; logarithmic axes. With several threads: wall time over the calls of all threads."
    return Picture("calls", "Cost of a call, case by case", note, tuple(drawn))


def _mark_panel(title: str, marks: tuple[Mark, ...]) -> Panel:
    group = (Group("", marks),)

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, group, "time of one call, left is cheaper", text.micros, stems=True)

    said = ", ".join(f"{mark.label} {mark.text}" for mark in marks)
    return Panel(title, f"{title}: {said}.", height(group), LEFT, RIGHT, draw)


def waterfall_picture(pack: Pack) -> Picture | None:
    """One stacked bar a route: cheap routes share a panel, dear ones have panels, and scales, of their own."""
    some = [one for one in waterfalls(pack) if one.whole and one.whole.time]
    panels = []
    for context, title in CONTEXTS.items():
        bars = [one for one in some if one.context == context]
        cheap = [one for one in bars if one.whole and one.whole.time and one.whole.time.mid < 10]
        for chosen in (cheap, *([one] for one in bars if one not in cheap)):
            if chosen:
                names = ", ".join(one.route for one in chosen)
                panels.append(_waterfall_panel(f"{names}: {title}", chosen))
    if not panels:
        return None
    note = "Stacked parts of a call of two tensors, each measured apart; a thin line marks the whole call."
    return Picture("waterfall", "What a call is made of", note, tuple(panels))


def _waterfall_panel(title: str, bars: Sequence[Waterfall]) -> Panel:
    names = list(dict.fromkeys(piece.name for one in bars for piece in one.pieces if piece.time and piece.time.mid > 0))
    thick, legend = 0.3, 0.16
    high = thick * len(bars) + legend * len(names) + 0.4
    longest = max(max(one.whole.time.mid if one.whole and one.whole.time else 0.0, _stack(one)) for one in bars)

    def draw(axes: Axes, ink: Ink) -> None:
        inches = WIDTH - LEFT - RIGHT
        axes.set_xlim(0, longest * 1.02)
        axes.set_ylim(thick * len(bars) + 0.05, 0)
        box = axes.get_position()
        whole = box.height
        share = (thick * len(bars) + 0.05) / high
        axes.set_position((box.x0, box.y0 + whole * (1 - share), box.width, whole * share))
        axes.yaxis.set_major_locator(NullLocator())
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.grid(axis="x", color=ink.grid, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("µs", color=ink.muted, labelpad=2)
        across = axes.get_yaxis_transform()
        for line, one in enumerate(bars):
            middle = thick * (line + 0.5)
            axes.text(-0.08 / inches, middle, one.route, transform=across, ha="right", va="center", color=ink.text)
            start = 0.0
            for piece in one.pieces:
                if piece.time and piece.time.mid > 0:
                    shade = PART_COLOURS.get(piece.name, "#8c8c3f")
                    axes.barh(middle, piece.time.mid, left=start, height=thick * 0.66, color=shade, linewidth=0)
                    start += piece.time.mid
            if one.whole and one.whole.time:
                end = one.whole.time.mid
                axes.plot([end, end], [middle - thick * 0.45, middle + thick * 0.45], color=ink.text, linewidth=1.2)
                words = text.micros(end)
                axes.text(1 + 0.08 / inches, middle, words, transform=across, va="center", color=ink.text)
        base = thick * len(bars) + 0.05 + 0.5
        for number, name in enumerate(names):
            y = base + legend * number
            values = ", ".join(
                (f"{one.route} " if len(bars) > 1 else "") + text.micros(piece.time.mid)
                for one in bars
                for piece in one.pieces
                if piece.name == name and piece.time
            )
            axes.add_patch(
                Rectangle((0.0, y - 0.05), 0.1 / inches, 0.1, transform=across, clip_on=False, linewidth=0,
                          facecolor=PART_COLOURS.get(name, "#8c8c3f"))
            )  # fmt: skip
            axes.text(0.16 / inches, y, f"{name}: {values}", transform=across, va="center", color=ink.muted, size=7.4)

    said = "; ".join(
        f"{one.route} {text.micros(one.whole.time.mid) if one.whole and one.whole.time else ''}: "
        + ", ".join(f"{piece.name} {text.micros(piece.time.mid)}" for piece in one.pieces if piece.time)
        for one in bars
    )
    return Panel(title, f"{title}. {said}.", high, LEFT, RIGHT, draw)


def _stack(one: Waterfall) -> float:
    return sum(piece.time.mid for piece in one.pieces if piece.time and piece.time.mid > 0)


def ladder_picture(pack: Pack) -> Picture | None:
    """Time against size for every route that compiles nothing, one panel an op."""
    panels = [_ladder_panel(op, lines) for op, lines in ladders(pack).items() if lines]
    if not panels:
        return None
    note = "As called, both axes logarithmic; a lower line is faster. Where lines cross, the choice changes."
    return Picture("ladder", "Time against size, from 16 elements on", note, tuple(panels))


def _ladder_panel(op: str, lines: dict[str, list[tuple[int, float]]]) -> Panel:
    high = 2.35

    def draw(axes: Axes, ink: Ink) -> None:
        size_axes(axes, ink, lines.values(), text.elements)
        for route in known(list(lines)):
            axes.plot(*zip(*lines[route], strict=True), color=colour(route), marker=marker(route), markersize=3,
                      linewidth=1.3, alpha=0.92)  # fmt: skip
        ends = {
            route: float(axes.transAxes.inverted().transform(axes.transData.transform(line[-1]))[1])
            for route, line in lines.items()
        }
        for route, spot in spaced(ends, 0.165 / high).items():
            axes.plot([1.04], [spot], transform=axes.transAxes, marker=marker(route), markersize=4.6,
                      color=colour(route), clip_on=False, linestyle="none")  # fmt: skip
            axes.text(1.08, spot, route, transform=axes.transAxes, va="center", color=ink.text)

    said = "; ".join(
        f"{route} from {text.micros(line[0][1])} to {text.micros(line[-1][1])}" for route, line in lines.items()
    )
    return Panel(op, f"Time of {op} against size: {said}.", high, 0.72, 1.12, draw)


def threads_picture(pack: Pack) -> Picture | None:
    """Each call under each setting, as a factor of the default: right of the line is faster."""
    rows = [row for row in pack.rows("threads") if row["ratio_to_default"] is not None]
    panels = []
    for size in sorted({row["elements"] for row in rows}):
        for pattern in dict.fromkeys(row.get("pattern") for row in rows):
            some = [row for row in rows if row["elements"] == size and row.get("pattern") == pattern]
            groups = tuple(
                Group(setting, tuple(_thread_mark(row) for row in some if row["setting"] == setting))
                for setting in dict.fromkeys(row["setting"] for row in some)
            )
            if groups:
                words = "alone" if pattern == "alone" else "after a call that used the other pool"
                panels.append(_threads_panel(f"{text.elements(size)} elements, {words}", groups))
    if not panels:
        return None
    note = "Speed relative to the default settings, right is faster; a hollow mark means «no difference shown»."
    return Picture("threads", "Thread settings", note, tuple(panels))


def _thread_mark(row: Row) -> Mark:
    ratio = interval(row["ratio_to_default"], row["ratio_low"], row["ratio_high"])
    assert ratio is not None
    route = row["route"]
    return Mark(route, ratio, text.factor(ratio.mid), colour(route), marker(route), ratio.holds_one)


def _threads_panel(title: str, groups: tuple[Group, ...]) -> Panel:
    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "speed relative to the default", text.factor, one="default")

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    return Panel(title, f"{title}, relative to the default: {said}.", height(groups), LEFT, RIGHT, draw)
