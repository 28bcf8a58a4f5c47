"""`evidence diff`: what changed between two packs beyond noise; the exit code is for a CI that gates on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evidence.core import text
from evidence.core.pack import PackError, read_pack
from evidence.judge.diff import BETTER, REGRESSION, Diff, diff, other_machine

STYLES = {REGRESSION: "red", BETTER: "green"}


def add(parser: argparse.ArgumentParser) -> None:
    """Two packs, in the order of time."""
    parser.add_argument("a", type=Path, metavar="PACK_A", help="the pack before: a folder or its file")
    parser.add_argument("b", type=Path, metavar="PACK_B", help="the pack after")
    parser.add_argument("--across-machines", action="store_true", help="compare packs of different machines")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def run(options: argparse.Namespace, console: Console) -> int:
    """0 without a regression, 1 with one, 2 when the packs cannot be compared."""
    try:
        before, after = read_pack(options.a), read_pack(options.b)
    except PackError as error:
        console.print(f"diff: {error}", highlight=False, markup=False)
        return 2
    others = other_machine(before, after)
    if others and not options.across_machines:
        why = f"diff: the packs are of different machines: {'; '.join(others)}"
        console.print(f"{why}. --across-machines compares them all the same.", highlight=False, markup=False)
        return 2
    difference = diff(before, after)
    difference.notes = [f"machine: {other}" for other in others] + difference.notes
    if options.json:
        print(
            json.dumps({"a": str(options.a), "b": str(options.b), **difference.plain()}, indent=1, ensure_ascii=False)
        )
    else:
        show(difference, console)
    return 1 if difference.regressions else 0


def show(difference: Diff, console: Console) -> None:
    """Print the changes as a table (line by line without a terminal), then how far the two packs agree."""
    if not console.is_terminal:
        for change in difference.changes:
            factor = f" ({text.factor(change.factor)})" if change.factor else ""
            line = f"{change.kind}: {change.section}, {change.what}: {change.before} -> {change.after}{factor}"
            console.print(line, highlight=False, markup=False)
    elif difference.changes:
        table = Table("", "section", "what", "A", "B", "B over A", box=None, pad_edge=False)
        for change in difference.changes:
            cells = (change.kind, change.section, change.what, change.before, change.after)
            factor = text.factor(change.factor) if change.factor else ""
            table.add_row(*(escape(cell) for cell in cells), factor, style=STYLES.get(change.kind))
        console.print(table)
    for note in difference.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    if difference.overlap is not None:
        share = f"{difference.overlapping} of {difference.intervals} ratio intervals overlap ({difference.overlap:.1%})"
        console.print(share, highlight=False)
    same = ", ".join(f"{name} {same} of {of}" for name, (same, of) in difference.words.items())
    console.print(f"the same words: {same}", highlight=False)
    better = sum(change.kind == BETTER for change in difference.changes)
    regressions = text.count(len(difference.regressions), "regression")
    console.print(f"{regressions}, {better} better, {len(difference.changes)} changes in all", highlight=False)
