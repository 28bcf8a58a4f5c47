"""Command line: `python -m shared_tests.emulator` emulates the GPU kernels of both sides and prints a table.

Exit code 0 where every value is right and nothing is reported, 1 otherwise, 2 for bad usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared_tests.emulator import toolkit
from shared_tests.emulator.build import build_sides
from shared_tests.emulator.run import SIDES, CaseResult, Settings, emulate
from shared_tests.emulator.table import NOTE, failures, results_table
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.spec import all_specs

TABLE_WIDTH = 165  # columns; a narrower terminal wraps the lines and loses none


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m shared_tests.emulator", description=__doc__)
    options.add_argument("--ops", default="", help="comma-separated op names (default: all)")
    options.add_argument("--sides", default="", help=f"comma-separated, of {', '.join(SIDES)} (default: both)")
    options.add_argument("--dtypes", default="", help="comma-separated, such as bfloat16 (default: those of each op)")
    options.add_argument("--all", action="store_true", help="larger samples and more row lengths")
    options.add_argument(
        "--noise", type=float, default=0.0, metavar="ULP",
        help="change results of approximate instructions by up to so many units in the last place (default: 0)",
    )  # fmt: skip
    options.add_argument("--json", type=Path, default=None, metavar="FILE", help="write every case to this file")
    return options


def named(option: str, value: str, known: Sequence[str]) -> list[str]:
    """The names of a comma-separated option, all known ones where it is empty.

    Raises:
        ValueError: a name that is not known.
    """
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: {name!r} is not one of {', '.join(known)}")
    return names or list(known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options_parser = parser()
    options = options_parser.parse_args(arguments)
    specs = all_specs()
    every_dtype = sorted({str(d).removeprefix("torch.") for spec in specs.values() for d in spec.dtypes})
    try:
        ops = named("--ops", options.ops, list(specs))
        sides = named("--sides", options.sides, SIDES)
        dtypes = named("--dtypes", options.dtypes, every_dtype)
        if options.noise < 0:
            raise ValueError(f"--noise: {options.noise} is negative")
        if options.json is not None and not options.json.absolute().parent.is_dir():
            raise ValueError(f"--json: the folder {options.json.parent} does not exist")
    except ValueError as error:
        options_parser.error(str(error))
    console = Console(soft_wrap=True)
    try:
        settings = Settings(options.all, options.noise, toolkit.find().targets)
        return run(console, ops, sides, dtypes, settings, options.json)
    except ToolkitError as error:
        console.print(f"emulate: {error}", style="red", markup=False)
        return 1


def run(
    console: Console, ops: list[str], sides: list[str], dtypes: list[str], settings: Settings, file: Path | None
) -> int:
    """Build, emulate, print; returns the exit code."""
    start = time.monotonic()
    text = TextColumn("{task.description}")
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: list[CaseResult] = []
    interrupted = False
    steps = len(ops) * len(sides) * len(settings.targets)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        try:
            building = progress.add_task("compiling", total=steps)
            ready = lambda name: progress.update(building, advance=1, description=f"compiling, {name} ready")  # noqa: E731
            build_sides(ops, sides, settings.targets, ready)
            progress.update(building, completed=steps, description="compiled")
            built = time.monotonic()
            emulating = progress.add_task("emulating", total=None)
            for done, total, some in emulate(ops, sides, dtypes, settings):
                results += some
                name = f"{some[0].op} {some[0].side} {some[0].dtype}" if some else ""
                progress.update(emulating, total=total, completed=done, description=f"emulating, {name} done")
        except KeyboardInterrupt:
            interrupted = True
    Console(width=max(console.width, TABLE_WIDTH)).print(results_table(results))
    for line in failures(results):
        console.print(line, highlight=False, markup=False)
    passed = sum(result.passed for result in results)
    console.print(f"\n{NOTE}\n", highlight=False, markup=False)
    if interrupted:
        console.print("interrupted: the table holds what was there till then", highlight=False)
        return 130
    seconds = time.monotonic() - built
    console.print(
        f"{passed} of {len(results)} calls right and without a problem; "
        f"compiled in {built - start:.0f} s, emulated in {seconds:.0f} s",
        highlight=False,
    )
    if file is not None:
        rows = [asdict(result) for result in results]
        file.write_text(json.dumps({"note": NOTE, "settings": asdict(settings), "cases": rows}, indent=1))
    return 0 if passed == len(results) and results else 1


if __name__ == "__main__":
    sys.exit(main())
