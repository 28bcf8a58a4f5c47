"""What whole models contribute to the summary: their speed, and that of ops weighted by the time they take there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evidence.core.pack import Pack, Pointed
from evidence.core.routes import SIDE_NAMES, SIDES, representative, representatives
from evidence.judge.headline import Clause, Figure, Saying
from evidence.judge.judgement import pointed
from evidence.sections.models.names import INT8
from evidence.sections.models.row import ShareRow, SpeedRow


def _last_stages(pack: Pack) -> list[Pointed[SpeedRow]]:
    """Decode at batch 1 with every op but the int8 product replaced, by model, dtype and representative of a side."""
    routes = {representative(side) for side in SIDES}
    last: dict[tuple[str, str, str], Pointed[SpeedRow]] = {}
    for entry in pack.pointed(SpeedRow):
        row = entry.row
        if (row.how, row.phase, row.batch) == ("eager", "decode", 1) and row.stage != INT8 and row.route in routes:
            last[row.model, row.dtype, row.route] = entry
    return list(last.values())


def _models(pack: Pack) -> Clause | None:
    """How fast whole models decode with the ops of each side, relative to the model as it was."""
    stages = _last_stages(pack)
    if not stages:
        return None
    spans = []
    for side in SIDES:
        ratios = [entry.row.ratio for entry in stages if entry.row.route == representative(side)]
        if ratios:
            spans.append(f"{_range(ratios)}× as fast with {SIDE_NAMES[side]}")
    statement = f"whole models decode {' and '.join(spans)} as with PyTorch's ops"
    return Clause(statement, tuple(entry.pointer for entry in stages))


def by_time(pack: Pack, model: str, dtype: str, phase: str) -> Mapping[str, tuple[float, float]]:
    """Route -> speed of the ops relative to eager, weighted by their time in a model, and the share of time they take.

    Run-time rows of the same dtype whose sample names the phase stand for an op; an op without one on every route that
    was timed is left out of all of them, so that the figures of two routes are over the same ops.
    """
    shares = {
        row.op: row.share
        for row in pack.table(ShareRow)
        if (row.model, row.dtype, row.phase, row.batch) == (model, dtype, phase, 1)
    }
    speeds = {route: _speeds(pointed(pack, "runtime"), route, dtype, phase) for route in representatives()}
    speeds = {route: of_route for route, of_route in speeds.items() if of_route}
    ops = [op for op in shares if speeds and all(op in of_route for of_route in speeds.values())]
    if not ops:
        return {}
    whole = math.fsum(shares[op] for op in ops)
    return {
        route: (whole / math.fsum(shares[op] / of_route[op] for op in ops), whole) for route, of_route in speeds.items()
    }


def _speeds(rows: list[Pointed[Any]], route: str, dtype: str, phase: str) -> dict[str, float]:
    """Op -> geometric mean of its speed relative to eager on the quiet rows of a phase, as called on the CPU."""
    logs: dict[str, list[float]] = {}
    for entry in rows:
        row = entry.row
        key = (row.route, row.device, row.dtype, row.mode, row.status)
        if key == (route, "cpu", dtype, "call", "ok") and phase in row.sample and row.ratio_to_eager and not row.noisy:
            logs.setdefault(row.op, []).append(math.log(row.ratio_to_eager))
    return {op: math.exp(math.fsum(values) / len(values)) for op, values in logs.items()}


def _of_phase(phase: str) -> Callable[[Pack], Mapping[str, str]]:
    def by_route(pack: Pack) -> Mapping[str, str]:
        """The range over models and dtypes, with the share of the models' time that the ops take."""
        keys = dict.fromkeys((row.model, row.dtype) for row in pack.table(ShareRow) if row.phase == phase)
        values: dict[str, list[tuple[float, float]]] = {}
        for model, dtype in keys:
            for route, of_route in by_time(pack, model, dtype, phase).items():
                values.setdefault(route, []).append(of_route)
        return {
            route: f"{_range(speed for speed, _ in pairs)}×, {_range(100 * share for _, share in pairs)}% of time"
            for route, pairs in values.items()
        }

    return by_route


def _range(values: Iterable[float]) -> str:
    """`1.2–4.5`."""
    ends = sorted(values)
    return f"{ends[0]:.2g}–{ends[-1]:.2g}"


COSTS = (
    Figure(70, "Speed relative to eager by time in a model: decode", _of_phase("decode")),
    Figure(71, "Speed relative to eager by time in a model: prefill", _of_phase("prefill")),
)
CLAUSES = (Saying("CPU", 30, _models),)
