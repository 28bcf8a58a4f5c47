"""What run time says of an op on its page and in the index: times by size, the gradient, and the outcome in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from evidence.core import text
from evidence.core.interval import TOO_CLOSE, spread
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES, side_of
from evidence.judge.comparison import EQUAL, Comparison
from evidence.judge.outcome import equal
from evidence.page.blocks import Block, Details, Text
from evidence.page.common import ROUTE_NAMES, linked, op_link
from evidence.page.op_part import OpColumn, OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, cases, headline

SHOWN = {**ROUTE_NAMES, "eager": "eager", "compile": "torch.compile"}
BACKWARD = "_backward"


def ops(pack: Pack) -> list[str]:
    """Ops that were timed."""
    return list(dict.fromkeys(case.op for case in cases(pack)))


def outcome(duel: Comparison) -> str:
    """C++ against Mojo on one row: who is faster by how much, equal within a margin, or too close to call."""
    if duel.better is not None:
        factor = duel.ratio if duel.better == duel.route else duel.ratio.inverse()
        return f"{SIDE_NAMES[side_of(duel.better) or '']} {text.factor(factor.mid)} faster"
    return TOO_CLOSE if duel.equal_within is None else equal(duel.equal_within)


def outcomes(duels: Sequence[Comparison]) -> str:
    """`C++ faster in 1, equal in 2 of 3 rows`; the outcome itself where there is one row."""
    if not duels:
        return "not measured"
    if len(duels) == 1:
        return outcome(duels[0])
    counts = {f"{SIDE_NAMES[side]} faster": sum(duel.won == side for duel in duels) for side in SIDES}
    counts["equal within 10%"] = sum(duel.verdict == EQUAL for duel in duels)
    counts[TOO_CLOSE] = len(duels) - sum(counts.values())
    shown = [f"{word} in {count}" for word, count in counts.items() if count]
    return f"{', '.join(shown)} of {len(duels)} rows"


def by_size(pack: Pack, op: str) -> list[Block]:
    """The outcome in words, and the time of both sides, the engine and PyTorch on every sample."""
    timed = [case for case in cases(pack) if case.op == op]
    called = [case for case in timed if case.mode == "call"]
    if not called:
        return []
    kernels = [case for case in timed if case.mode != "call"]
    blocks: list[Block] = [Text(_sentence(called), "finding"), time_table(op, called)]
    if kernels:
        table = time_table(f"the kernel of {op} alone", kernels)
        blocks.append(Details("Kernel alone, with outputs ready", (table,), text.count(len(kernels), "row")))
    return blocks


def _sentence(called: Sequence[Case]) -> str:
    """Mojo relative to C++ by size, and both relative to PyTorch."""
    parts = [f"{size}: {outcome_of_size}" for size in SIZE_CLASSES if (outcome_of_size := _of_size(called, size))]
    speeds = [
        f"{SIDE_NAMES[side]} {text.factor(speed.mean)}"
        for side in SIDES
        if (speed := headline(side, called).to_pytorch) is not None
    ]
    sentences = [f"C++ against Mojo, by size of tensors: {'; '.join(parts)}."] if parts else []
    if speeds:
        sentences.append(f"Speed relative to the faster of eager and torch.compile: {', '.join(speeds)}.")
    return " ".join(sentences) or "No case has a time of both sides."


def _of_size(timed: Iterable[Case], size: str) -> str:
    duels = [duel for case in timed if case.size_class == size and (duel := case.duel()) is not None]
    return outcomes(duels) if duels else ""


def time_table(what: str, timed: Sequence[Case]) -> Table:
    """One line a case: median and 95% interval of each route, each leading to its row, and the outcome."""
    routes = [route for route in SHOWN if any(route in case.cells for case in timed)]
    heads = columns("Sample", *numbers(*(SHOWN[route] for route in routes)), "C++ against Mojo")
    return Table(f"Run time of {what}", heads, tuple(_line(case, routes) for case in timed))


def _line(case: Case, routes: Sequence[str]) -> Line:
    duel = case.duel()
    dtype = case.dtype if case.device == "cpu" else f"{case.dtype}, {case.device}"
    noisy = ("noisy",) if duel is not None and duel.noisy else ()
    verdict = Cell("not measured" if duel is None else outcome(duel), notes=noisy)
    return row(
        Cell(case.label, aside=f"{dtype}, {case.size_class}"), *(_time(case, route) for route in routes), verdict
    )


def _time(case: Case, route: str) -> Cell:
    if route not in case.cells:
        return Cell("–")
    cell = case.cells[route]
    time = cell.time
    if time is None:
        return Cell(linked(cell.row.status, cell.pointer))
    return Cell(
        linked(text.micros(time.mid), cell.pointer), aside=f"{text.micros(time.low)} to {text.micros(time.high)}"
    )


def gradient(pack: Pack, op: str) -> list[Block]:
    """The backward op where it has rows of its own, or the forward op that this one belongs to."""
    if op.endswith(BACKWARD):
        forward = op.removesuffix(BACKWARD)
        return [Text(Markup("This op is the gradient of {}.").format(op_link(forward)))]
    backward = f"{op}{BACKWARD}"
    called = [case for case in cases(pack) if case.op == backward and case.mode == "call"]
    if not called:
        return [Text("The gradient of this op was not timed by itself.", "note")]
    sentence = Markup("The gradient is an op of its own, {}. {}").format(op_link(backward), _sentence(called))
    return [Text(sentence), Details("Run time of the gradient", (time_table(backward, called),))]


def _column(size: str) -> OpColumn:
    def cells(pack: Pack) -> Mapping[str, Cell]:
        duels: dict[str, list[Comparison]] = {}
        for case in cases_of(pack, size):
            if (duel := case.duel()) is not None:
                duels.setdefault(case.op, []).append(duel)
        return {op: _summary(of_op) for op, of_op in duels.items()}

    return OpColumn(10 + SIZE_CLASSES.index(size), f"C++ against Mojo, {size} tensors", cells)


def cases_of(pack: Pack, size: str) -> list[Case]:
    """The cases of a size class as called."""
    return [case for case in cases(pack) if case.mode == "call" and case.size_class == size]


def _summary(duels: Sequence[Comparison]) -> Cell:
    mean = spread(duel.ratio.mid for duel in duels)
    note = f"Mojo relative to C++ {text.factor(mean.mean)}" if mean is not None and len(duels) > 1 else ""
    return Cell(outcomes(duels), notes=(note,) if note else ())


def _to_pytorch(pack: Pack) -> Mapping[str, str]:
    called = [case for case in cases(pack) if case.mode == "call" and case.device == "cpu"]
    shown = {}
    for op in dict.fromkeys(case.op for case in called):
        speeds = {side: headline(side, [case for case in called if case.op == op]).to_pytorch for side in SIDES}
        figures = [f"{SIDE_NAMES[side]} {text.factor(speed.mean)}" for side, speed in speeds.items() if speed]
        if figures:
            shown[op] = ", ".join(figures)
    return shown


OP_PARTS = (OpPart(30, "Run time by size", by_size), OpPart(40, "Gradient", gradient))
OP_COLUMNS = (*map(_column, SIZE_CLASSES), OpColumn(20, "Speed relative to PyTorch", _to_pytorch))
