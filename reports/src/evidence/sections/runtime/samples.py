"""The rounds behind every run-time row: thinned and rounded, process by process, for the page's box plots."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from evidence.core import text
from evidence.core.pack import Pack, PackError, read_raw
from evidence.page.common import Context
from evidence.sections.runtime.row import RuntimeRow

MOST = 60
"""Rounds kept of a process at most: enough to see a second mode or a drift."""

LEAST = 12
ALL = 180_000
"""Rounds on the whole page, about a megabyte; a pack with more rows keeps fewer of each, down to `LEAST`."""

DIGITS = 4


def samples(pack: Pack, folder: Path) -> Context:
    """`rows`: row id -> one list of microseconds a process; `about`: row id -> what is shown, process by process.

    Without raw samples both are empty and `reason` says why.
    """
    try:
        raw = read_raw(folder)
    except PackError as error:
        # The path of this machine is no part of the reason.
        return {"rows": {}, "about": {}, "reason": str(error).replace(f"{folder}/", "")}
    index = {
        (row.op, row.device, row.dtype, row.sample, row.route, row.mode): f"runtime-{i}"
        for i, row in enumerate(pack.table(RuntimeRow))
    }
    device = pack.facts("settings").get("device")
    by_row: dict[str, list[list[float]]] = {}
    for entry in raw if isinstance(raw, list) else []:
        case = entry.get("case") if isinstance(entry, dict) else None
        if not isinstance(case, dict) or "sample" not in case or "mode" not in entry:
            continue
        case = {"device": device or "cpu", **case}
        key = [str(case.get(name)) for name in ("op", "device", "dtype", "sample")]
        for route, rounds in (entry.get("times") or {}).items():
            name = index.get((*key, route, entry["mode"]))
            values = [float(value) for value in rounds if isinstance(value, (int, float))]
            if name is not None and values:
                by_row.setdefault(name, []).append(values)
    most = max(LEAST, min(MOST, ALL // max(1, sum(map(len, by_row.values())))))
    return {
        "rows": {
            name: [[_short(value) for value in thin(process, most)] for process in processes]
            for name, processes in by_row.items()
        },
        "about": {name: [_about(process, most) for process in processes] for name, processes in by_row.items()},
        "reason": None if by_row else "raw.json.gz holds no round of a run-time row",
    }


def thin(values: list[float], most: int) -> list[float]:
    """At most `most` values, evenly spaced over the rounds; the lowest and the highest always stay."""
    if len(values) <= most:
        return values
    keep = {round(place * (len(values) - 1) / (most - 3)) for place in range(most - 2)}
    keep |= {values.index(min(values)), values.index(max(values))}
    return [values[place] for place in sorted(keep)]


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _about(values: list[float], most: int) -> list[str]:
    shown = min(len(values), most)
    rounds = f"{len(values)}" if shown == len(values) else f"{shown} of {len(values)}"
    return [rounds, *(text.micros(value) for value in (min(values), median(values), max(values)))]
