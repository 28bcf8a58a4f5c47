"""What run time contributes to the summary: speed of both sides, and which ops are worth a custom op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evidence.core import text
from evidence.core.interval import Interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES, representatives
from evidence.core.thresholds import LEAST_OPS, MATTERS, WIN_SHARE
from evidence.judge.comparison import RUN_TIME, Comparison
from evidence.judge.groups import mean_equal_within, over_ops
from evidence.judge.headline import Clause, Figure, Move, Saying
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, called, cases
from evidence.sections.runtime.judge import compare


def _speed(pack: Pack) -> Mapping[str, str]:
    """Speed relative to the faster of eager and torch.compile: geometric mean over the cases that all routes timed."""
    timed = called(cases(pack))
    routes = [route for route in representatives() if any(_timed(case, route) for case in timed)]
    shared = [case for case in timed if case.pytorch() and all(_timed(case, route) for route in routes)]
    values = {}
    for route in routes:
        ratios = [ratio.mid for case in shared if (ratio := case.speedup(route, case.pytorch() or "")) is not None]
        mean = spread(ratios)
        if mean is not None:
            values[route] = text.factor(mean.mean)
    return values


def _timed(case: Case, route: str) -> bool:
    return route in case.cells and case.cells[route].ok


def duels(pack: Pack, device: str) -> list[Comparison]:
    """C++ against Mojo as called, on the quiet rows of a device (`cpu`, or anything else for GPUs)."""
    return [
        duel
        for duel in compare(pack)
        if duel.topic == RUN_TIME and not duel.noisy and (duel.device == "cpu") == (device == "cpu")
    ]


def _sides(device: str) -> Callable[[Pack], Clause | None]:
    def say(pack: Pack) -> Clause | None:
        """Whether a side runs faster, both run equally fast, or neither is shown."""
        compared = duels(pack, device)
        if not compared:
            return None if device != "cpu" else Clause("run time was not measured on both sides")
        rows = tuple(dict.fromkeys(pointer for duel in compared for pointer in duel.rows))
        ops = text.count(len({duel.op for duel in compared}), "op")
        if len({duel.op for duel in compared}) < LEAST_OPS:
            return Clause(f"only {compared[0].op} was timed, which says nothing of another op", rows)
        return Clause(f"{said(over_ops(compared), mean_equal_within(compared))}, {ops}", rows)

    return say


def said(ratio: Interval, equal: float | None) -> str:
    """A mean speed of Mojo relative to C++ in words."""
    low, high = (f"{100 * (end - 1):+.0f}".replace("-", "−") for end in (ratio.low, ratio.high))
    extent = f"Mojo {low} to {high} %"
    if not ratio.holds_one and not 1 / MATTERS < ratio.mid < MATTERS:
        faster, factor = ("Mojo", ratio) if ratio.above_one else ("C++", ratio.inverse())
        return f"{faster} runs {text.factor(factor.mid)} as fast ({extent})"
    if equal is not None:
        return f"both run equally fast within {equal:.0%} ({extent})"
    return f"which side runs faster is too close to call ({extent})"


def _pytorch(pack: Pack) -> Clause | None:
    """On how many ops each side is faster than PyTorch."""
    timed = called(cases(pack))
    sides = {side: _of_side(timed, side) for side in SIDES}
    measured = {side: ops for side, ops in sides.items() if ops}
    if not measured:
        return None
    counts = {side: sum(move.pays for move in ops) for side, ops in measured.items()}
    total = max(len(ops) for ops in measured.values())
    rows = tuple(dict.fromkeys(pointer for ops in measured.values() for move in ops for pointer in move.rows))
    if len(counts) == len(SIDES) and len(set(counts.values())) == 1:
        return Clause(f"both beat PyTorch on {counts[SIDES[0]]} of {text.count(total, 'op')}", rows)
    parts = [f"{SIDE_NAMES[side]} beats PyTorch on {count}" for side, count in counts.items()]
    return Clause(f"{' and '.join(parts)} of {text.count(total, 'op')}", rows)


def _of_side(timed: Sequence[Case], side: str) -> list[Move]:
    by_op: dict[str, list[Case]] = {}
    for case in timed:
        by_op.setdefault(case.op, []).append(case)
    return [move for op, of_op in by_op.items() if (move := _move(op, of_op, side, "")) is not None]


def _move(op: str, timed: Sequence[Case], side: str, size_class: str) -> Move | None:
    """The representative of a side against the faster of eager and torch.compile on an op's cases."""
    compared = []
    for case in timed:
        route, base = case.representative(side), case.pytorch()
        comparison = case.compare(base, route) if route and base else None
        if comparison is not None:
            compared.append(comparison)
    mean = spread(comparison.ratio.mid for comparison in compared)
    if mean is None:
        return None
    won = sum(comparison.better == comparison.route for comparison in compared)
    pays = won >= WIN_SHARE * len(compared) and mean.mean >= MATTERS
    rows = tuple(dict.fromkeys(pointer for comparison in compared for pointer in comparison.rows[::-1]))
    gain = Interval(mean.mean, mean.low, mean.high)
    return Move(op, gain, compared[0].route, size_class, pays, rows)


def moves(pack: Pack) -> list[Move]:
    """Every op in all sizes and in each, by the side that gains more."""
    timed = called(cases(pack))
    entries = []
    for op in dict.fromkeys(case.op for case in timed):
        for size_class in ("", *SIZE_CLASSES):
            of_op = [case for case in timed if case.op == op and size_class in ("", case.size_class)]
            sides = [move for side in SIDES if (move := _move(op, of_op, side, size_class)) is not None]
            entries += [max(sides, key=lambda move: move.gain.mid)] if sides else []
    return entries


def _no_gpu(pack: Pack) -> Clause | None:
    return None if any(case.device != "cpu" for case in cases(pack)) else Clause("not timed")


FIGURES = (Figure(20, "Speed relative to PyTorch", _speed),)
CLAUSES = (
    Saying("CPU", 10, _sides("cpu")),
    Saying("CPU", 20, _pytorch),
    Saying("GPU", 10, _sides("gpu")),
    Saying("GPU", 15, _no_gpu),
)
