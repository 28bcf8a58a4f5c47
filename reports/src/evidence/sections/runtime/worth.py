"""Whether a custom op is worth it: each side's representative against what PyTorch gives without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evidence.core import text
from evidence.core.interval import Interval, Spread, spread
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.core.thresholds import CONFIDENCE, LEAST_OPS, MATTERS, WIN_SHARE
from evidence.judge.comparison import Comparison
from evidence.judge.groups import over_ops
from evidence.judge.verdict import Statement, not_measured, why_not
from evidence.sections.runtime.cases import Case, cases

PAYS = "a custom op pays"
PAYS_NOT = "a custom op does not pay"
DEPENDS = "it depends"


@dataclass
class _Worth:
    """How a side's representative compares with PyTorch, on rows that decide and on quiet ones."""

    side: str
    comparisons: list[Comparison] = field(default_factory=list)
    quiet: list[Comparison] = field(default_factory=list)
    noisy: int = 0

    @property
    def lost(self) -> list[str]:
        """Cases on which PyTorch is faster."""
        return [each.name for each in self.comparisons if each.better == each.base]

    @property
    def wins(self) -> int:
        """Cases on which the custom op is faster."""
        return sum(each.better == each.route for each in self.comparisons)

    @property
    def mean(self) -> Spread | None:
        """Of the quiet ratios."""
        return spread(each.ratio.mid for each in self.quiet)

    @property
    def verdict(self) -> str | None:
        """Whether the custom op pays; None without a quiet row."""
        mean, enough = self.mean, WIN_SHARE * len(self.comparisons)
        if mean is None:
            return None
        several = len({each.op for each in self.quiet}) >= LEAST_OPS
        over = over_ops(self.quiet) if several else Interval(mean.mean, mean.low, mean.high)
        if mean.mean >= MATTERS and (self.wins >= enough or over.above_one):
            return PAYS
        return PAYS_NOT if mean.mean <= 1 / MATTERS and (len(self.lost) >= enough or over.below_one) else DEPENDS


def _worth(side: str, sides: Sequence[str], all_cases: Sequence[Case]) -> _Worth:
    """The representative of a side against the faster of eager and torch.compile, as called, row by row.

    Rows are those that the representatives of all `sides` timed, and the quiet ones are quiet for all of them, so that
    means that stand side by side are over the same rows.
    """
    worth = _Worth(side)
    for case in all_cases:
        route, base = case.representative(side), case.pytorch()
        if case.mode != "call" or route is None or base is None or not all(map(case.representative, sides)):
            continue
        comparison = case.compare(base, route)
        if comparison is None:
            continue
        if case.noisy(base, *map(case.representative, sides)):
            worth.noisy += 1
        else:
            worth.quiet.append(comparison)
        if comparison.decides:
            worth.comparisons.append(comparison)
    return worth


def custom_op(pack: Pack) -> Statement:
    """Whether a custom op beats what PyTorch gives without one, for each side by its representative."""
    question = "Is a custom op worth it?"
    rule = (
        "Each side's representative against the faster of eager and torch.compile, row by row, as called: it pays when "
        "it is shown to be faster, beyond the noise band and after Holm's correction for the rows of a size class, on "
        f"{WIN_SHARE:.0%} of the rows, or by the {CONFIDENCE:.0%} interval of the mean over ops, and by "
        f"{MATTERS - 1:.0%} or more in the geometric mean; it does not pay when that holds the other way; else, and "
        "where the sides disagree, it depends."
    )
    all_cases = cases(pack)
    sides = [side for side in SIDES if any(case.mode == "call" and case.representative(side) for case in all_cases)]
    worth = {side: summary for side in sides if (summary := _worth(side, sides, all_cases)).verdict}
    if not worth:
        return not_measured("custom-op", question, rule, why_not(pack, "runtime"))
    verdicts = {summary.verdict for summary in worth.values()}
    word = verdicts.pop() if len(verdicts) == 1 else DEPENDS
    parts = []
    values: dict[str, Any] = {}
    for side, summary in worth.items():
        mean = summary.mean
        assert mean is not None
        sentence = f"{SIDE_NAMES[side]} is faster on {summary.wins} of {text.count(len(summary.comparisons), 'row')}, "
        sentence += f"{text.mean(mean)}"
        parts.append(
            sentence + (f", {text.count(summary.noisy, 'noisy row')} not in the mean" if summary.noisy else "")
        )
        values[side] = {"rows": len(summary.comparisons), "wins": summary.wins, "losses": len(summary.lost)}
        values[side] |= {"noisy": summary.noisy, "mean": mean.mean, "lowest": mean.low, "highest": mean.high}
    compiled = sum(case.mode == "call" and "compile" in case.cells and case.cells["compile"].ok for case in all_cases)
    evidence = f"{'; '.join(parts)}. torch.compile was timed on {text.count(compiled, 'row')}."
    exceptions = None
    lost = list(dict.fromkeys(name for summary in worth.values() for name in summary.lost))
    if lost and word == PAYS:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        exceptions = f"PyTorch is faster on {', '.join(lost[:3])}{more}"
    pointers = dict.fromkeys(
        pointer for summary in worth.values() for each in summary.comparisons for pointer in each.rows[::-1]
    )
    return Statement("custom-op", question, word or DEPENDS, rule, evidence, list(pointers), values, exceptions)
