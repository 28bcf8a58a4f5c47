"""`evidence targets`: build every op for every target that this machine can build for, into a pack's targets matrix."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from evidence.commands.into_pack import fill, pack_for
from evidence.commands.options import named
from evidence.core.command import Command
from evidence.core.pack import PARTIAL, RAN, Pack, PackError, write_pack
from evidence.sections.targets.built import DID_NOT_RUN, SIDES
from evidence.sections.targets.processors import BY_NAME, TARGETS
from evidence.sections.targets.row import TargetRow

if TYPE_CHECKING:  # `measure` needs torch, which the other commands may do without
    from evidence.sections.targets.measure import Choice


def add(parser: argparse.ArgumentParser) -> None:
    """Which part of the matrix, and which pack it goes to."""
    parser.add_argument("--ops", default="", help="comma-separated op names (default: all)")
    parser.add_argument("--sides", default="", help=f"comma-separated, of {', '.join(SIDES)} (default: all)")
    parser.add_argument("--targets", default="", help=f"comma-separated, of {', '.join(BY_NAME)} (default: all)")
    parser.add_argument("--all", action="store_true", help="with MAX for every GPU target, two minutes each")
    parser.add_argument(
        "--pack", type=Path, default=None,
        help="the pack to write into, made where there is none (default: reports/out/latest, else a new one)",
    )  # fmt: skip


def run(options: argparse.Namespace, console: Console) -> int:
    """0, also where something does not build: that is the result; 2 for bad usage, 130 after Ctrl-C with a part."""
    from evidence.commands.report import render_pack
    from evidence.core import machine
    from evidence.core.recorded import keep_own
    from evidence.sections.targets.measure import RECORDED, measure
    from evidence.sections.targets.page import other_commit

    try:
        choice = choose(options)
        folder, pack = pack_for(options.pack, "targets", "the targets matrix")
    except (ValueError, PackError) as error:
        console.print(f"targets: {error}", highlight=False, markup=False)
        return 2
    facts = machine.versions()
    rows: list[TargetRow] = []

    def keep(cell_rows: list[TargetRow]) -> None:
        rows.extend(cell_rows)
        store(pack, rows, facts["commit"])
        write_pack(pack, folder)
        console.print(summary_line(cell_rows), highlight=False, markup=False)

    with tempfile.TemporaryDirectory(prefix="targets-") as work:
        interrupted = fill(console, len(choice.cells()), lambda tell: measure(choice, Path(work), tell), keep)
    part = interrupted or options.ops or options.sides or options.targets
    keep_own(RECORDED, ("targets",), pack, folder, not part)
    write_pack(pack, folder)
    if note := other_commit(pack):
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    code = render_pack(folder, console)
    return 130 if interrupted else code


def choose(options: argparse.Namespace) -> Choice:
    """The part of the matrix that the options name.

    Raises:
        ValueError: an op, a side or a target that is not known.
    """
    from evidence.sections.targets.measure import Choice
    from shared_tests.spec import all_specs

    ops = tuple(name for name, spec in all_specs().items() if not spec.probe)
    return Choice(
        named(options.ops, ops, "op") or ops,
        named(options.sides, SIDES, "side") or SIDES,
        tuple(BY_NAME[name] for name in named(options.targets, tuple(BY_NAME), "target") or BY_NAME),
        options.all,
    )


def store(pack: Pack, built: list[TargetRow], commit: str | None) -> None:
    """Put rows in the place of those for the same op, side and target."""
    rows = [*{(row.op, row.side, row.target): row for row in (*pack.table(TargetRow), *built)}.values()]
    order = {name: index for index, name in enumerate(BY_NAME)}
    rows.sort(key=lambda row: (row.op, SIDES.index(row.side), order.get(row.target, len(order))))
    tried: set[tuple[str, str]] = {(row.side, row.target) for row in rows}
    missing = [f"{side} for {t.name}" for side in SIDES for t in TARGETS if (side, t.name) not in tried]
    reason = f"not tried: {', '.join(missing)}" if missing else None
    pack.set_rows("targets", rows, PARTIAL if missing else RAN, reason)
    pack.facts("settings")["targets_commit"] = commit


def summary_line(rows: list[TargetRow]) -> str:
    """One line for one side and target."""
    counts = Counter(row.status for row in rows)
    statuses = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    shared = max(row.together for row in rows) > 1
    seconds = max(row.seconds or 0 for row in rows) if shared else sum(row.seconds or 0 for row in rows)
    why = next((row.message for row in rows if row.message), None)
    took = f", {seconds:.0f} s" if any(row.status != DID_NOT_RUN and row.seconds for row in rows) else ""
    return f"{rows[0].side:9}{rows[0].target:11}{statuses}{took}" + (f": {why}" if why else "")


COMMAND = Command("targets", "build every op for every target, into a pack's targets matrix", add, run)
