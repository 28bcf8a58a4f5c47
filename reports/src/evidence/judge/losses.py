"""Where each side loses: stated for both with the same rules, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.core.interval import Interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import SIDES
from evidence.core.section import declarations
from evidence.judge.comparison import Comparison


@dataclass(frozen=True)
class Loss:
    """One row, stage or measure on which a side is worse.

    Attributes:
        side: which is worse.
        kind: what it is worse at, such as `run time against eager`.
        group: the op that losses are counted by, or `what` where each counts by itself.
        what: the case, stage or measure, in words.
        route: of the side.
        against: the route that is better.
        factor: how much worse, above 1.
        noisy: whether a measurement was marked noisy.
        rows: pointers to the rows.
        of: rows of the group on which the side could have lost.
    """

    side: str
    kind: str
    group: str
    what: str
    route: str
    against: str
    factor: Interval
    noisy: bool
    rows: tuple[str, ...]
    of: int = 1


def loss(comparison: Comparison | None, side: str, kind: str, what: str) -> Loss | None:
    """The loss of a side in a comparison, or None where its route is not shown to be worse."""
    factor = comparison.loses_by(side) if comparison else None
    if comparison is None or factor is None:
        return None
    mine_first = comparison.better == comparison.route
    mine, other = (comparison.base, comparison.route) if mine_first else (comparison.route, comparison.base)
    rows = comparison.rows if mine_first else comparison.rows[::-1]
    return Loss(side, kind, what, what, mine, other, factor, comparison.noisy, rows)


def losses(pack: Pack) -> dict[str, list[Loss]]:
    """Losses of each side's representative by what the sections compare, quiet rows first, the largest factor first."""
    declared = _declared(pack)
    return {
        side: sorted(
            (entry for entry in declared if entry.side == side), key=lambda entry: (entry.noisy, -entry.factor.mid)
        )
        for side in SIDES
    }


def _declared(pack: Pack) -> list[Loss]:
    return [entry for _, section_losses in declarations("judge", "losses") for entry in section_losses(pack)]


def counts(side_losses: Sequence[Loss]) -> list[tuple[str, int]]:
    """How many losses of each kind."""
    kinds = [loss.kind for loss in side_losses]
    return [(kind, kinds.count(kind)) for kind in dict.fromkeys(kinds)]


@dataclass(frozen=True)
class LossGroup:
    """Losses of one kind on one op or stage: how many of how many rows, and the range of the factor."""

    kind: str
    name: str
    route: str
    factor: Interval
    lost: int
    of: int


def loss_groups(pack: Pack) -> dict[str, list[LossGroup]]:
    """The losses of each side in a form that fits a picture: by kind in the order of the sections, then the largest.

    Noisy rows are left out here; the list of losses holds them. The middle of a range is its geometric mean.
    """
    declared = _declared(pack)
    kinds = list(dict.fromkeys(entry.kind for entry in declared))
    by_side: dict[str, list[LossGroup]] = {}
    for side in SIDES:
        by_group: dict[tuple[str, str], list[Loss]] = {}
        for entry in declared:
            if entry.side == side and not entry.noisy:
                by_group.setdefault((entry.kind, entry.group), []).append(entry)
        groups = [_group(entries) for entries in by_group.values()]
        by_side[side] = sorted(groups, key=lambda group: (kinds.index(group.kind), -group.factor.mid))
    return by_side


def _group(entries: Sequence[Loss]) -> LossGroup:
    first = entries[0]
    factor = first.factor
    if first.group != first.what:
        whole = spread(entry.factor.mid for entry in entries)
        assert whole is not None
        factor = Interval(whole.mean, whole.low, whole.high)
    return LossGroup(first.kind, first.group, first.route, factor, len(entries), first.of)
