"""What run time contributes to the summary: speed of both sides, and which ops are worth a custom op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evidence.core import text
from evidence.core.interval import TOO_CLOSE, Interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import MOJO, SIDE_NAMES, SIDES, representative, representatives
from evidence.core.thresholds import LEAST_OPS, MATTERS, WIN_SHARE
from evidence.judge.comparison import EQUAL, RUN_TIME, Comparison
from evidence.judge.equivalence import LEVEL, equal_within
from evidence.judge.groups import mean_equal_within, over_ops
from evidence.judge.headline import Clause, Figure, Move, Saying
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, called, cases
from evidence.sections.runtime.judge import compare

WAYS = {"mojo_aot": "Mojo as a shared library"}
"""Ways to run Mojo that a sentence has to name, since another way runs at another speed."""


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
            return None if device != "cpu" else Clause("run time of both sides not measured")
        rows = tuple(dict.fromkeys(pointer for duel in compared for pointer in duel.rows))
        ops = len({duel.op for duel in compared})
        if ops < LEAST_OPS:
            return Clause(f"{_of_rows(compared)}; one op says nothing of another", rows)
        mojo = WAYS.get(compared[0].route, "Mojo")
        phrase = mean_speed(over_ops(compared), over_ops(compared, LEVEL), mojo, f"on average over {ops} ops")
        return Clause(phrase, rows)

    return say


def mean_speed(ratio: Interval, tested: Interval, mojo: str, where: str) -> str:
    """A mean speed of Mojo relative to C++ in words; `tested` is its interval at the level of the test of equality.

    The interval that is printed is the one that decides, so that no reader finds +11% beside “within 10%”.
    """
    equal = equal_within(tested)
    extent = f"{where} (speed of {mojo} {text.percents(ratio if equal is None else tested)})"
    if not ratio.holds_one and not 1 / MATTERS < ratio.mid < MATTERS:
        faster, factor = ("Mojo", ratio) if ratio.above_one else ("C++", ratio.inverse())
        return f"{faster} runs {text.factor(factor.mid)} as fast {extent}"
    if equal is not None:
        return f"both run equally fast within {equal:.0%} {extent}"
    return f"which side runs faster is too close to call {extent}"


def _of_rows(compared: Sequence[Comparison]) -> str:
    """`rms_norm, 4 rows: C++ faster in 1, Mojo in 0, equal in 1, too close to call in 2`: of a pack of one op."""
    won = {side: sum(comparison.won == side for comparison in compared) for side in SIDES}
    counts = ", ".join(
        f"{SIDE_NAMES[side]} {'faster ' if side == SIDES[0] else ''}in {count}" for side, count in won.items()
    )
    rows = text.count(len(compared), "row")
    equal = sum(comparison.verdict == EQUAL for comparison in compared)
    too_close = sum(comparison.verdict == TOO_CLOSE for comparison in compared)
    return f"{compared[0].op}, {rows}: {counts}, equal in {equal}, too close to call in {too_close}"


def _engine(pack: Pack) -> Clause | None:
    """What Mojo's other way to run costs on the CPU, relative to the one that represents it there."""
    library, engine = representative(MOJO), representative(MOJO, "cuda")
    compared = [
        comparison
        for case in called(cases(pack))
        if library != engine and not case.noisy(library, engine) and (comparison := case.compare(library, engine))
    ]
    if len({comparison.op for comparison in compared}) < LEAST_OPS:
        return None
    ratio, rows = over_ops(compared), tuple(dict.fromkeys(row for each in compared for row in each.rows))
    extent = f"({text.short(1 / ratio.high)} to {text.short(1 / ratio.low)})"
    if not ratio.holds_one and ratio.mid <= 1 / MATTERS:
        return Clause(f"in the MAX engine Mojo takes {text.factor(1 / ratio.mid)} as long {extent}", rows)
    if not ratio.holds_one and ratio.mid >= MATTERS:
        return Clause(f"in the MAX engine Mojo runs {text.ratio(ratio)} as fast", rows)
    equal = mean_equal_within(compared)
    if equal is not None:
        return Clause(f"in the MAX engine Mojo runs equally fast within {equal:.0%}", rows)
    return Clause(f"whether Mojo runs faster in the MAX engine is too close to call {extent}", rows)


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
    whole = f"of {text.count(total, 'op')}{_compiled(timed)}"
    if len(counts) == len(SIDES) and len(set(counts.values())) == 1:
        return Clause(f"both beat PyTorch on {counts[SIDES[0]]} {whole}", rows)
    parts = [f"{SIDE_NAMES[side]} beats PyTorch on {count}" for side, count in counts.items()]
    return Clause(f"{' and '.join(parts)} {whole}", rows)


def _compiled(timed: Sequence[Case]) -> str:
    """What PyTorch is where torch.compile was not timed on every row: the baseline is then eager alone there."""
    rows = [case for case in timed if case.pytorch() and any(case.representative(side) for side in SIDES)]
    count = sum("compile" in case.cells and case.cells["compile"].ok for case in rows)
    if count == len(rows):
        return ""
    return f" (torch.compile timed on {count} of {len(rows)} rows)" if count else " (eager; torch.compile not timed)"


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
    # Most of an op's rows must agree, which guards against chance as a correction of each row does.
    won = sum(comparison.better_alone == comparison.route for comparison in compared)
    pays = won >= WIN_SHARE * len(compared) and mean.mean >= MATTERS
    rows = tuple(dict.fromkeys(pointer for comparison in compared for pointer in comparison.rows[::-1]))
    gain = Interval(mean.mean, mean.low, mean.high)
    depends = not pays and won > (1 - WIN_SHARE) * len(compared)
    return Move(op, gain, compared[0].route, size_class, pays, rows, depends)


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
    """That nothing was timed on a GPU, and whether there was one."""
    if any(case.device != "cpu" for case in cases(pack)):
        return None
    return Clause("not timed, though this machine has a GPU" if pack.facts("machine").get("gpus") else "not timed")


def _gpu_rows(pack: Pack) -> Mapping[str, str]:
    """How many cases were timed on a GPU, by route."""
    timed = [case for case in cases(pack) if case.device != "cpu" and case.mode == "call"]
    counts = {route: sum(_timed(case, route) for case in timed) for route in representatives()}
    return {route: text.count(count, "row") for route, count in counts.items() if count}


FIGURES = (Figure(20, "Speed relative to PyTorch, mean", _speed),)
COSTS = (Figure(59, "GPU, timed", _gpu_rows),)
CLAUSES = (
    Saying("CPU", 10, _sides("cpu")),
    Saying("CPU", 15, _engine),
    Saying("CPU", 20, _pytorch),
    Saying("GPU", 10, _sides("gpu")),
    Saying("GPU", 15, _no_gpu),
)
