"""`evidence emulate`: run the GPU kernels of both sides on the CPU, and write what that showed into a pack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evidence.core.command import Command
from evidence.core.pack import PARTIAL, RAN, Pack, PackError
from evidence.sections.gpu.row import GpuRow

if TYPE_CHECKING:
    from shared_tests.emulator.command import Choice, Outcome


def add(parser: argparse.ArgumentParser) -> None:
    """The emulator's own options, and the pack to write into."""
    from shared_tests.emulator.options import add_options

    add_options(parser)
    parser.add_argument("--pack", type=Path, default=None, help="a pack to write the section gpu into (default: none)")


def run(options: argparse.Namespace, console: Console) -> int:
    """0 where every value is right and nothing is reported, 1 otherwise, 2 for bad usage, 130 after Ctrl-C."""
    from evidence.commands.into_pack import pack_for
    from evidence.commands.report import render_pack
    from evidence.core import machine
    from evidence.core.pack import write_pack
    from evidence.core.recorded import keep_own
    from evidence.sections.gpu import measure as gpu_rows
    from shared_tests.emulator import command
    from shared_tests.emulator.toolkit import ToolkitError, find

    try:
        choice = command.choose(options)
        target = pack_for(options.pack, "gpu", "the emulation") if options.pack else None
    except (ValueError, PackError) as error:
        console.print(f"emulate: {error}", highlight=False, markup=False)
        return 2
    except ToolkitError as error:
        console.print(f"emulate: {error}", highlight=False, markup=False)
        return 1
    outcome = command.run(console, choice)
    if target is not None:
        folder, pack = target
        store(pack, gpu_rows.rows(outcome.results, find().version.splitlines()[-1]), choice, outcome)
        pack.facts("settings")["gpu_commit"] = machine.versions()["commit"]
        part = outcome.interrupted or options.ops or options.sides or options.dtypes or options.noise
        keep_own(gpu_rows.RECORDED, ("gpu",), pack, folder, not part)
        write_pack(pack, folder)
        render_pack(folder, console)
    return outcome.exit_code


def store(pack: Pack, rows: list[GpuRow], choice: Choice, outcome: Outcome) -> None:
    """Put rows in the place of those for the same op, side and dtype."""
    from shared_tests.emulator.run import SIDES
    from shared_tests.spec import all_specs

    by_key = {(row.op, row.side, row.dtype): row for row in (*pack.table(GpuRow), *rows)}
    merged = [by_key[key] for key in sorted(by_key)]
    present: set[tuple[str, str]] = {(row.op, row.side) for row in merged}
    ops = [name for name, spec in all_specs().items() if not spec.probe]
    missing = [f"{op} ({side})" for op in ops for side in SIDES if (op, side) not in present]
    reason = f"not emulated: {', '.join(missing)}" if missing else None
    if outcome.interrupted:
        reason = "interrupted" + (f"; {reason}" if reason else "")
    pack.set_rows("gpu", merged, PARTIAL if reason else RAN, reason)


COMMAND = Command(
    "emulate", "run the GPU kernels of both sides without a GPU, and write a pack's section gpu", add, run
)
