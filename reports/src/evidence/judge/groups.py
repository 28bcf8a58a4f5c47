"""One verdict for many comparisons of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evidence.core import text
from evidence.core.interval import NO_DIFFERENCE, spread
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import EXCEPTION_SHARE, MATTERS, WIN_SHARE
from evidence.judge.comparison import CPP_AHEAD, LEVEL, MIXED, MOJO_AHEAD, NOT_MEASURED, Comparison


def group(comparisons: Sequence[Comparison]) -> tuple[str, dict[str, Any], str | None]:
    """Verdict word, values and exceptions of comparisons of C++ with Mojo.

    A noisy row enters no mean; it is won only where its interval, wide as it is, excludes 1.0, else it is undecided.
    Where more rows are undecided than decided, the few that are decided do not speak for the others.
    """
    counted = [comparison for comparison in comparisons if comparison.decides]
    quiet = [comparison for comparison in comparisons if not comparison.noisy]
    values: dict[str, Any] = {"rows": len(counted), "noisy": len(comparisons) - len(quiet)}
    values["undecided"] = len(comparisons) - len(counted)
    if 2 * len(counted) < len(comparisons) or not counted:
        return NOT_MEASURED, values, None
    won = {side: [comparison for comparison in counted if comparison.won == side] for side in SIDES}
    no_difference = sum(comparison.won is None and comparison.ratio.holds_one for comparison in counted)
    level = len(counted) - len(won[CPP]) - len(won[MOJO]) - no_difference
    whole = spread(comparison.ratio.mid for comparison in quiet)
    values |= {"cpp_wins": len(won[CPP]), "mojo_wins": len(won[MOJO]), "level": level, "no_difference": no_difference}
    if whole is not None:
        values |= {"mojo_over_cpp": whole.mean, "lowest": whole.low, "highest": whole.high, "averaged": whole.count}
    enough = WIN_SHARE * len(counted)
    if len(won[MOJO]) >= enough and (whole is None or whole.mean >= MATTERS):
        word, loser = MOJO_AHEAD, CPP
    elif len(won[CPP]) >= enough and (whole is None or whole.mean <= 1 / MATTERS):
        word, loser = CPP_AHEAD, MOJO
    elif level + no_difference >= enough:
        word = LEVEL if level > no_difference else NO_DIFFERENCE
        return word, values, _wins(won, EXCEPTION_SHARE * len(counted))
    else:
        return MIXED, values, _wins(won, 1)
    return word, values, _wins({loser: won[loser]}, EXCEPTION_SHARE * len(counted))


def _wins(won: dict[str, list[Comparison]], at_least: float) -> str | None:
    parts = []
    for side, comparisons in won.items():
        if comparisons and len(comparisons) >= at_least:
            names = ", ".join(dict.fromkeys(comparison.op for comparison in comparisons))
            parts.append(f"{SIDE_NAMES[side]} wins on {names}")
    return "; ".join(parts) or None


def mean_words(values: dict[str, Any]) -> str:
    """The geometric mean of a group's values with its range and count."""
    low, high = text.factor(values["lowest"]), text.factor(values["highest"])
    rows = text.count(values["averaged"], "row")
    return f"Mojo at {text.factor(values['mojo_over_cpp'])} the speed of C++ ({low} to {high}, {rows})"


def group_words(values: dict[str, Any]) -> str:
    """The mean and how many rows each side wins."""
    if "cpp_wins" not in values:
        rows = text.count(values["rows"] + values["undecided"], "row")
        return f"{values['undecided']} of {rows} noisy, with intervals that hold 1.0."
    noisy = f"{text.count(values['noisy'], 'noisy row')} in no mean" if values["noisy"] else ""
    if values["undecided"]:
        noisy += f", {values['undecided']} of them undecided"
    parts = [f"C++ wins {values['cpp_wins']}", f"Mojo {values['mojo_wins']}"]
    if values["level"]:
        parts.append(f"{values['level']} within {MATTERS - 1:.0%} or the noise band")
    if values["no_difference"]:
        parts.append(f"{values['no_difference']} without a difference shown")
    head = mean_words(values) if "mojo_over_cpp" in values else "No row quiet enough for a mean"
    return f"{head}: {', '.join(parts)}{'; ' + noisy if noisy else ''}."
