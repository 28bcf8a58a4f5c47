"""A comparison of two packs in ten lines, and as a comment on a change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.judge.diff import BETTER, CHANGED, REGRESSION, Change, Diff
from evidence.page.table import escaped

LISTED = 5
"""Regressions that the summary names, the largest first; all of them follow it."""


def summary(before: Pack, after: Pack, difference: Diff) -> list[str]:
    """At most ten lines: what got worse, what got better, and how far the two packs agree."""
    lines = [headline(difference), *(f"{name}: {_of(pack)}" for name, pack in (("A", before), ("B", after)))]
    lines += [f"worse: {change.sentence}" for change in worst(difference.regressions)[:LISTED]]
    if more := len(difference.regressions) - LISTED:
        lines += [f"worse: {more} more"] if more > 0 else []
    lines.append(_agreement(difference))
    return lines


def headline(difference: Diff) -> str:
    """`2 regressions, 1 better, 5 changes in all`."""
    if not difference.changes:
        return "No regression: nothing changed beyond noise"
    kinds = Counter(change.kind for change in difference.changes)
    counts = [
        text.count(kinds[REGRESSION], "regression") if kinds[REGRESSION] else "No regression",
        f"{kinds[BETTER]} better",
        f"{kinds[CHANGED]} changed without being better or worse",
    ]
    return ", ".join(counts)


def worst(changes: Sequence[Change]) -> list[Change]:
    """Changes with the largest factor first; those without one before them, as something stopped working."""
    return sorted(changes, key=lambda change: -max(change.factor, 1 / change.factor) if change.factor else -1e9)


def markdown(before: Pack, after: Pack, difference: Diff) -> str:
    """A comment for a pull request: the summary, then all changes and notes folded."""
    first, *rest = summary(before, after, difference)
    parts = [f"**{escaped(first)}**", "\n".join(f"- {escaped(line)}" for line in rest)]
    if difference.changes:
        heads = "| | Section | Row | A | B | B over A |\n|---|---|---|---|---|---:|"
        parts.append(_folded("All changes", "\n".join([heads, *map(_row, difference.changes)])))
    if difference.notes:
        parts.append(_folded("Notes", "\n".join(f"- {escaped(note)}" for note in difference.notes)))
    return "\n\n".join(parts)


def _row(change: Change) -> str:
    factor = text.factor(change.factor) if change.factor else ""
    cells = (change.kind, change.section, change.what, change.before, change.after, factor)
    return f"| {' | '.join(map(escaped, cells))} |"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _of(pack: Pack) -> str:
    versions = pack.facts("versions")
    commit = str(versions.get("commit") or "unknown")[:9] + (" with local changes" if versions.get("dirty") else "")
    releases = ", ".join(f"{name} {versions[name]}" for name in ("torch", "modular") if versions.get(name))
    return f"{pack.created_utc[:10]}, commit {commit}" + (f", {releases}" if releases else "")


def _agreement(difference: Diff) -> str:
    same = ", ".join(f"{name} {same} of {of}" for name, (same, of) in difference.words.items())
    agreement = f"the same in both: {same}"
    if difference.overlap is not None:
        agreement += f"; {difference.overlapping} of {difference.intervals} ratio intervals overlap"
    return agreement
