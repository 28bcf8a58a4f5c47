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
from evidence.judge.diff import BETTER, REGRESSION, Diff, diff, other_machine, other_mode
from evidence.page.diff_text import markdown, summary

STYLES = {REGRESSION: "red", BETTER: "green"}


def add(parser: argparse.ArgumentParser) -> None:
    """Two packs, in the order of time."""
    parser.add_argument("a", type=Path, metavar="PACK_A", help="the pack before: a folder or its file")
    parser.add_argument("b", type=Path, metavar="PACK_B", help="the pack after")
    parser.add_argument("--across-machines", action="store_true", help="compare packs of different machines")
    parser.add_argument("--across-modes", action="store_true", help="compare a quick, a standard or a full run")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON and nothing else")
    output.add_argument("--markdown", action="store_true", help="print a comment for a pull request and nothing else")


def run(options: argparse.Namespace, console: Console) -> int:
    """0 without a regression, 1 with one, 2 when the packs cannot be compared."""
    try:
        before, after = read_pack(options.a), read_pack(options.b)
    except PackError as error:
        return refused(console, str(error))
    others = other_machine(before, after)
    if others and not options.across_machines:
        why = f"the packs are of different machines: {'; '.join(others)}"
        return refused(console, f"{why}. --across-machines compares them all the same.")
    modes = other_mode(before, after)
    if modes and not options.across_modes:
        return refused(console, f"{modes}: their rows differ. --across-modes compares what they have in common.")
    difference = diff(before, after)
    difference.notes = [*(f"machine: {other}" for other in others), *([modes] if modes else []), *difference.notes]
    if options.json:
        named = {"a": str(options.a), "b": str(options.b), **difference.plain()}
        print(json.dumps(named, indent=1, ensure_ascii=False))
    elif options.markdown:
        print(markdown(before, after, difference))
    else:
        for line in summary(before, after, difference):
            console.print(line, highlight=False, markup=False)
        show(difference, console)
    return 1 if difference.regressions else 0


def refused(console: Console, why: str) -> int:
    """Say why the packs cannot be compared; gives the exit code."""
    console.print(f"diff: {why}", highlight=False, markup=False)
    return 2


def show(difference: Diff, console: Console) -> None:
    """Print every change, in a table or, without a terminal, line by line, and the notes."""
    if not console.is_terminal:
        for change in difference.changes:
            console.print(f"{change.kind}: {change.sentence}", highlight=False, markup=False)
    elif difference.changes:
        table = Table("", "section", "what", "A", "B", "B over A", box=None, pad_edge=False)
        for change in difference.changes:
            cells = (change.kind, change.section, change.what, change.before, change.after)
            factor = text.factor(change.factor) if change.factor else ""
            table.add_row(*(escape(cell) for cell in cells), factor, style=STYLES.get(change.kind))
        console.print(table)
    for note in difference.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
