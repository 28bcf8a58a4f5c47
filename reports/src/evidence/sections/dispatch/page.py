"""The dispatch lab on the page: what its tables print."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack, Row
from evidence.core.routes import order
from evidence.page.common import Context, anchor, time_words
from evidence.sections.dispatch.readings import (
    Piece,
    Reach,
    Waterfall,
    reaches,
    thread_advice,
    waterfalls,
    why_compiled,
)
from evidence.sections.dispatch.table import Dispatch, dispatch

MODES = {"hot": "tight loop", "gap": "1 ms apart", "compiled": "in a compiled function"}


def lab_context(pack: Pack) -> Context:
    """What `lab.html` prints apart from the pictures."""
    return {
        "matrix": dispatch_matrix(pack),
        "waterfalls": [_waterfall(one) for one in waterfalls(pack) if one.whole is not None],
        "forms": form_table(pack),
        "gaps": gap_table(pack),
        "why_compiled": why_compiled(pack),
        "crossover": crossover_matrix(pack),
        "threads": thread_table(pack),
        "advice": thread_advice(pack),
    }


def condition(row: Dispatch) -> tuple[str, int, str]:
    """What tells one block of calls from another: mode, threads, OpenMP."""
    return row.mode, row.row["threads"], row.row["openmp"]


def condition_words(mode: str, threads: int, openmp: str) -> str:
    """`tight loop, 4 threads, OpenMP active`."""
    label = MODES[mode]
    if threads > 1:
        label += f", {threads} Python threads"
    return label + (", OpenMP active" if openmp == "active" else "")


def dispatch_matrix(pack: Pack) -> Context:
    """Routes against numbers of tensors, one block a condition."""
    rows = dispatch(pack)
    tensors = sorted({row.row["tensors"] for row in rows})
    blocks = []
    for case in dict.fromkeys(condition(row) for row in rows):
        chosen = [row for row in rows if condition(row) == case]
        lines = []
        for route in sorted({row.route for row in chosen}, key=order):
            cells = {row.row["tensors"]: row for row in chosen if row.route == route}
            lines.append({"route": route, "cells": [_dispatch_cell(cells.get(number)) for number in tensors]})
        label = condition_words(*case)
        blocks.append({"name": label[0].upper() + label[1:], "mode": case[0], "rows": lines})
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
        "explained": _explained(share),
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


def _explained(share: float | None) -> str | None:
    """How much of a call its parts explain; they were measured apart, so that they may add up to more."""
    if share is None:
        return None
    return f"{max(share, 0.0):.0%} of the call explained" if share <= 1 else "the parts add up to more than the call"


def _signed(value: Interval) -> str:
    def micros(number: float) -> str:
        return ("−" if number < 0 else "") + text.micros(abs(number))

    if abs(value.mid) < 0.005:
        return "under 0.005\u00a0µs"
    return f"{micros(value.mid)} ({micros(value.low)} to {micros(value.high)})"


def form_table(pack: Pack) -> Context | None:
    """Routes against the ways to call one op: typed function, op with its formula, overload without gradient."""
    forms = {w.route: {piece.name: piece for piece in w.forms} for w in waterfalls(pack) if w.forms}
    if not forms:
        return None
    names = max((list(pieces) for pieces in forms.values()), key=len)
    rows = [
        {"route": route, "cells": [_form_cell(pieces.get(name)) for name in names]} for route, pieces in forms.items()
    ]
    return {"names": names, "rows": rows}


def _form_cell(piece: Piece | None) -> Context:
    if piece is None:
        return {"text": "–", "how": "", "id": None}
    duration = text.micros(piece.time.mid) if piece.time else piece.message or "was not timed"
    return {"text": duration, "how": piece.how, "id": anchor(piece.pointer)}


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
                question = "no slower than eager" if against == "eager" else f"{text.factor(factor)} of {against}"
                cells = [_reach_cell(route, some.get(route)) for route in routes]
                rows.append({"op": op, "question": question, "cells": cells})
    return {"routes": routes, "rows": rows}


def _reach_cell(route: str, one: Reach | None) -> Context:
    if one is None:
        return {"id": None, "route": route, "text": "–"}
    return {"id": anchor(one.pointer), "route": route, "text": one.text}


def thread_table(pack: Pack) -> Context:
    """Calls against settings."""
    rows = pack.rows("threads")
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    lines: dict[tuple[str, int, str], dict[str, Row]] = {}
    for index, row in enumerate(rows):
        key = (row["route"], row["elements"], row.get("pattern") or "")
        lines.setdefault(key, {})[row["setting"]] = {**row, "id": f"threads-{index}"}
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
        return {"id": None, "text": "–", "note": "", "bad": False}
    if row["median_us"] is None:
        return {"id": row["id"], "text": row["status"], "note": row.get("message") or "", "bad": True}
    note = ""
    if row["ratio_to_default"] is not None:
        one = row["ratio_low"] <= 1 <= row["ratio_high"]
        note = "no diff." if one else text.factor(row["ratio_to_default"])
    return {"id": row["id"], "text": text.micros(row["median_us"]), "note": note, "bad": False}


def dispatch_table(pack: Pack) -> list[Context]:
    """Every dispatch row."""
    return [
        {
            "id": anchor(row.pointer),
            "route": row.route,
            "mode": MODES[row.mode],
            "key": row.mode,
            "tensors": row.row["tensors"],
            "threads": row.row["threads"],
            "openmp": row.row["openmp"],
            "eager": text.ratio(
                interval(row.row.get("ratio_to_eager"), row.row.get("ratio_low"), row.row.get("ratio_high"))
            ),
            "time": time_words(row.time) if row.time else row.message or row.status,
            "noisy": row.noisy,
        }
        for row in dispatch(pack)
    ]
