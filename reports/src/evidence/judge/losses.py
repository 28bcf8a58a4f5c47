"""Where each side loses: stated for both with the same rules, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.core.interval import Interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES, measured_representative
from evidence.core.thresholds import BUILD_MATTERS, BUILD_SECONDS_MATTER, CALL_MATTERS, SIZE_MATTERS
from evidence.sections.build.table import KIND_NAMES, Stage, build
from evidence.sections.code.table import code, code_routes, size_ratio, size_words
from evidence.sections.dispatch.table import call_of, dispatch
from evidence.sections.runtime.cases import Case


@dataclass(frozen=True)
class Loss:
    """`side` is worse than `against` by `factor` (above 1), on the rows it points to; `op` is empty beside run time."""

    side: str
    kind: str
    op: str
    what: str
    route: str
    against: str
    factor: Interval
    noisy: bool
    rows: tuple[str, ...]


def losses(pack: Pack, all_cases: Sequence[Case]) -> dict[str, list[Loss]]:
    """Losses of each side's representative: run time against eager, compile and the other side's representative;
    dispatch, build time, code size.

    A row of run time is lost by the rule by which it is won: beyond its interval, the noise band and what matters.
    """
    found: dict[str, list[Loss]] = {side: [] for side in SIDES}
    for case in all_cases:
        if case.mode == "call":
            for side in SIDES:
                found[side] += _runtime(case, side)
    rows = dispatch(pack)
    for mode in ("hot", "gap"):
        for side, other in ((CPP, MOJO), (MOJO, CPP)):
            mine, yours = call_of(rows, side, mode), call_of(rows, other, mode)
            if mine and yours and mine.time and yours.time and _costs(factor := mine.time.over(yours.time)):
                pointers = (mine.pointer, yours.pointer)
                noisy = mine.noisy or yours.noisy
                what = "call of 16 elements" if mode == "hot" else "call of 16 elements after a gap"
                found[side].append(Loss(side, "dispatch", "", what, mine.route, yours.route, factor, noisy, pointers))
    for side, other in ((CPP, MOJO), (MOJO, CPP)):
        found[side] += _build(build(pack), side, other)
        found[side] += _code(pack, side, other)
    return {side: sorted(some, key=lambda loss: (loss.noisy, -loss.factor.mid)) for side, some in found.items()}


def _costs(factor: Interval) -> bool:
    return factor.above_one and factor.mid >= CALL_MATTERS


def _runtime(case: Case, side: str) -> list[Loss]:
    route = case.representative(side)
    if route is None:
        return []
    rivals = [rival for rival in ("eager", "compile", case.representative(MOJO if side == CPP else CPP)) if rival]
    found = []
    for rival in rivals:
        ratio = case.speedup(rival, route)
        if ratio is not None and ratio.above_one and ratio.mid >= case.must_exceed(rival, route):
            rows = (case.cells[route].pointer, case.cells[rival].pointer)
            found.append(
                Loss(side, "run time", case.op, case.name, route, rival, ratio, case.noisy(route, rival), rows)
            )
    return found


def _build(table: dict[str, dict[str, Stage]], side: str, other: str) -> list[Loss]:
    found = []
    for kind, stages in table.items():
        mine, yours = measured_representative(side, stages), measured_representative(other, stages)
        if mine is None or yours is None:
            continue
        one, two = stages[mine], stages[yours]
        if one.time and two.time and two.time.low > 0:
            factor = one.time.over(two.time)
            waits = one.time.mid - two.time.mid >= BUILD_SECONDS_MATTER
            if waits and factor.above_one and factor.mid >= BUILD_MATTERS:
                what = KIND_NAMES.get(kind, kind)
                found.append(Loss(side, "build time", "", what, mine, yours, factor, False, (one.pointer, two.pointer)))
    return found


def _code(pack: Pack, side: str, other: str) -> list[Loss]:
    present = code_routes(pack)
    mine, yours = measured_representative(side, present), measured_representative(other, present)
    if mine is None or yours is None:
        return []
    found = []
    for what, bucket in (("all code", None), ("kernel code", "kernel"), ("binding code", "binding"),
                         ("build configuration", "build"), ("Python glue", "glue")):  # fmt: skip
        one, two = code(pack, mine, bucket=bucket), code(pack, yours, bucket=bucket)
        factor = size_ratio(one, two)
        if factor is not None and factor.low >= SIZE_MATTERS:
            words = f"{what}, {size_words(one, two)}"
            found.append(Loss(side, "code size", "", words, mine, yours, factor, False, one.pointers + two.pointers))
    return found


def counts(side_losses: Sequence[Loss]) -> list[tuple[str, int]]:
    """How many losses of each kind; run time by rival: eager, compile, the other side."""
    found: dict[str, int] = {}
    for loss in side_losses:
        name = loss.kind
        if loss.kind == "run time":
            name = f"run time against {rival_of(loss)}"
        found[name] = found.get(name, 0) + 1
    return list(found.items())


@dataclass(frozen=True)
class LossGroup:
    """Losses of one kind on one op or stage: how many of how many rows, and the range of the factor."""

    kind: str
    name: str
    route: str
    factor: Interval
    lost: int
    of: int


def loss_groups(side_losses: Sequence[Loss], all_cases: Sequence[Case]) -> list[LossGroup]:
    """The losses of one side in a form that fits a picture: run time by rival and op, the rest as it is.

    Noisy rows are left out here; the list of losses holds them. The middle of a range is its geometric mean.
    """
    found: list[LossGroup] = []
    by_op: dict[tuple[str, str], list[Loss]] = {}
    for loss in side_losses:
        if loss.noisy:
            continue
        if loss.kind != "run time":
            found.append(LossGroup(loss.kind, loss.what, loss.route, loss.factor, 1, 1))
            continue
        by_op.setdefault((rival_of(loss), loss.op), []).append(loss)
    for (rival, op), some in by_op.items():
        whole = spread(loss.factor.mid for loss in some)
        if whole is None:
            continue
        of = sum(
            case.op == op and case.mode == "call" and case.representative(some[0].side) is not None
            for case in all_cases
        )
        factor = Interval(whole.mean, whole.low, whole.high)
        found.append(LossGroup(f"run time against {rival}", op, some[0].route, factor, len(some), of))
    kinds = [f"run time against {rival}" for rival in ("eager", "compile", *SIDE_NAMES.values())]
    kinds += ["dispatch", "build time", "code size"]
    return sorted(found, key=lambda group: (kinds.index(group.kind), -group.factor.mid))


def rival_of(loss: Loss) -> str:
    """Whom a run-time loss is against, in reader's words: eager, compile, C++ or Mojo."""
    return loss.against if loss.against in ("eager", "compile") else SIDE_NAMES[MOJO if loss.side == CPP else CPP]
