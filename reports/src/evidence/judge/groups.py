"""Many comparisons of the same kind: the interval of their mean, whether both are equal in it, and one verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev
from typing import Any

from evidence.core import text
from evidence.core.interval import TOO_CLOSE, Interval, spread
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import CONFIDENCE, EXCEPTION_SHARE, LEAST_OPS, MATTERS, WIN_SHARE
from evidence.judge.comparison import CPP_AHEAD, EQUAL, MIXED, MOJO_AHEAD, NOT_MEASURED, Comparison
from evidence.judge.criteria import around, half_width
from evidence.judge.equivalence import LEVEL, equal_within
from evidence.judge.outcome import equal, share, unseen
from evidence.judge.significance import quantile, smallest_effect, standard_error


def over_ops(duels: Sequence[Comparison], level: float = CONFIDENCE) -> Interval:
    """Geometric mean of the ratios, each op counted once, with the interval of that mean.

    The interval joins in quadrature what the measurement leaves open and Student's t for the spread between the ops:
    the ops of the pack are a sample of the ops that somebody may want to write.

    Args:
        duels: of at least two ops; their intervals, which hold the spread between processes, are of the level
            `CONFIDENCE`.
        level: of the interval.
    """
    by_op: dict[str, list[Comparison]] = {}
    for duel in duels:
        by_op.setdefault(duel.op, []).append(duel)
    mids = [fmean(math.log(duel.ratio.mid) for duel in of_op) for of_op in by_op.values()]
    # Rows of an op share their processes, so their errors are averaged and not taken as independent.
    errors = [fmean(standard_error(half_width(duel.ratio), duel.dof) for duel in of_op) for of_op in by_op.values()]
    count = len(mids)
    between = quantile((1 + level) / 2, count - 1) * stdev(mids) / math.sqrt(count)
    dof = math.fsum(min(duel.dof for duel in of_op) for of_op in by_op.values())
    measured = quantile((1 + level) / 2, dof) * math.hypot(*errors) / count
    return around(fmean(mids), math.hypot(between, measured))


def mean_equal_within(duels: Sequence[Comparison]) -> float | None:
    """The smallest margin within which the mean over ops is shown to be 1 by two one-sided tests, or None."""
    return equal_within(over_ops(duels, LEVEL))


def mean_smallest_effect(mean: Interval, ops: int) -> float:
    """The smallest factor, above 1, that a mean over `ops` ops could have shown with a power of 80%."""
    return smallest_effect(half_width(mean), ops - 1, MATTERS)


def group(comparisons: Sequence[Comparison]) -> tuple[str, dict[str, Any], str | None]:
    """Verdict word, values and exceptions of comparisons of C++ with Mojo.

    A noisy row enters no mean; it is won only where its interval, wide as it is, excludes 1.0, else it is undecided.
    Where more rows are undecided than decided, the few that are decided do not speak for the others. Rows are won
    after correction for their number. A side is ahead by its rows, or by the interval of the mean over ops; equality is
    that of the mean, and of the rows where there are too few ops for a mean.
    """
    counted = [comparison for comparison in comparisons if comparison.decides]
    quiet = [comparison for comparison in comparisons if not comparison.noisy]
    values: dict[str, Any] = {"rows": len(counted), "noisy": len(comparisons) - len(quiet)}
    values["undecided"] = len(comparisons) - len(counted)
    if 2 * len(counted) < len(comparisons) or not counted:
        return NOT_MEASURED, values, None
    won = {side: [comparison for comparison in counted if comparison.won == side] for side in SIDES}
    values |= _row_values(counted) | _mean_values(quiet)
    ahead, equal_rows = _ahead(won, len(counted), values), values["equal"]
    if ahead:
        word, loser = (MOJO_AHEAD, CPP) if ahead == MOJO else (CPP_AHEAD, MOJO)
        return word, values, _wins({loser: won[loser]}, EXCEPTION_SHARE * len(counted))
    enough = WIN_SHARE * len(counted)
    if values.get("equal_within") is not None or ("interval_low" not in values and equal_rows >= enough):
        return EQUAL, values, _wins(won, EXCEPTION_SHARE * len(counted))
    if equal_rows + values["too_close"] >= enough:
        return TOO_CLOSE, values, _wins(won, EXCEPTION_SHARE * len(counted))
    return MIXED, values, _wins(won, 1)


def _row_values(counted: Sequence[Comparison]) -> dict[str, Any]:
    undecided = [row for row in counted if row.better is None and row.equal_within is None]
    values: dict[str, Any] = {
        "cpp_wins": sum(row.won == CPP for row in counted),
        "mojo_wins": sum(row.won == MOJO for row in counted),
        "equal": sum(row.better is None and row.equal_within is not None for row in counted),
        "too_close": len(undecided),
        "better_uncorrected": sum(row.better_alone is not None for row in counted),
    }
    if undecided:
        values["row_smallest_effect"] = median(row.smallest_effect_alone for row in undecided)
        values["row_smallest_effect_corrected"] = median(row.smallest_effect for row in undecided)
    return values


def _mean_values(quiet: Sequence[Comparison]) -> dict[str, Any]:
    whole = spread(comparison.ratio.mid for comparison in quiet)
    if whole is None:
        return {}
    values: dict[str, Any] = {"mojo_over_cpp": whole.mean, "lowest": whole.low, "highest": whole.high}
    values["averaged"] = whole.count
    ops = len({comparison.op for comparison in quiet})
    if ops < LEAST_OPS:
        return values
    mean = over_ops(quiet)
    values |= {"ops": ops, "mean_over_ops": mean.mid, "interval_low": mean.low, "interval_high": mean.high}
    return values | {
        "equal_within": mean_equal_within(quiet),
        "smallest_effect": mean_smallest_effect(mean, ops),
    }


def _ahead(won: dict[str, list[Comparison]], rows: int, values: dict[str, Any]) -> str | None:
    """The side that wins most rows with a mean that agrees, or that the interval of the mean over ops shows."""
    for side, sign in ((MOJO, 1), (CPP, -1)):
        agrees = "mojo_over_cpp" not in values or values["mojo_over_cpp"] ** sign >= MATTERS
        if len(won[side]) >= WIN_SHARE * rows and agrees:
            return side
    if "interval_low" not in values:
        return None
    if values["interval_low"] > 1 and values["mean_over_ops"] >= MATTERS:
        return MOJO
    return CPP if values["interval_high"] < 1 and values["mean_over_ops"] <= 1 / MATTERS else None


def _wins(won: dict[str, list[Comparison]], at_least: float) -> str | None:
    parts = []
    for side, comparisons in won.items():
        if comparisons and len(comparisons) >= at_least:
            names = ", ".join(dict.fromkeys(comparison.op for comparison in comparisons))
            parts.append(f"{SIDE_NAMES[side]} wins on {names}")
    return "; ".join(parts) or None


def mean_words(values: dict[str, Any]) -> str:
    """The geometric mean of a group's values with its range and count, and what the mean over ops shows."""
    low, high = text.factor(values["lowest"]), text.factor(values["highest"])
    rows = text.count(values["averaged"], "row")
    mean = f"Mojo at {text.factor(values['mojo_over_cpp'])} the speed of C++ ({low} to {high}, {rows})"
    return mean + _mean_outcome(values)


def group_words(values: dict[str, Any]) -> str:
    """The mean with its interval over ops, and how many rows each side wins after correction."""
    if "cpp_wins" not in values:
        rows = text.count(values["rows"] + values["undecided"], "row")
        return f"{values['undecided']} of {rows} noisy, with intervals that hold 1.0."
    noisy = f"{text.count(values['noisy'], 'noisy row')} in no mean" if values["noisy"] else ""
    if values["undecided"]:
        noisy += f", {values['undecided']} of them undecided"
    wins = values["cpp_wins"] + values["mojo_wins"]
    parts = [f"C++ wins {values['cpp_wins']}", f"Mojo {values['mojo_wins']}"]
    if values["better_uncorrected"] > wins:
        parts[-1] += f" (together {values['better_uncorrected']} before correction for the number of rows)"
    if values["equal"]:
        parts.append(f"{values['equal']} equal")
    if values["too_close"]:
        alone, after = (share(values[f"row_smallest_effect{which}"]) for which in ("", "_corrected"))
        parts.append(
            f"{values['too_close']} too close to call (in the median row an effect under {alone} could not be seen, "
            f"with correction under {after})"
        )
    head = mean_words(values) if "mojo_over_cpp" in values else "No row quiet enough for a mean"
    return f"{head}. Rows: {', '.join(parts)}{'; ' + noisy if noisy else ''}."


def _mean_outcome(values: dict[str, Any]) -> str:
    """What the mean over ops shows, with its interval."""
    if "interval_low" not in values:
        return ""
    low, high = text.factor(values["interval_low"]), text.factor(values["interval_high"])
    finding = (
        f"; mean over {values['ops']} ops {text.factor(values['mean_over_ops'])} ({CONFIDENCE:.0%} interval {low} to "
    )
    if values["equal_within"] is not None:
        return f"{finding}{high}), {equal(values['equal_within'])}"
    holds_one = values["interval_low"] <= 1 <= values["interval_high"]
    return f"{finding}{high})" + (f", {unseen(values['smallest_effect'])}" if holds_one else "")
