"""The command that emulates the GPU kernels of both sides and prints a table: its options, and the run."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared_tests.emulator import toolkit
from shared_tests.emulator.build import build_sides
from shared_tests.emulator.run import SIDES, CaseResult, Settings, emulate
from shared_tests.emulator.table import NOTE, failures, results_table
from shared_tests.spec import all_specs

TABLE_WIDTH = 165  # columns; a narrower terminal wraps the lines and loses none


@dataclass(frozen=True)
class Choice:
    """What is emulated, and the file that every case is written to."""

    ops: list[str]
    sides: list[str]
    dtypes: list[str]
    settings: Settings
    file: Path | None


@dataclass(frozen=True)
class Outcome:
    """The results of a run, all of them unless it was interrupted."""

    results: list[CaseResult]
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 where every value is right and nothing is reported, 130 after Ctrl-C, else 1."""
        if self.interrupted:
            return 130
        return 0 if self.results and all(result.passed for result in self.results) else 1


def choose(options: argparse.Namespace) -> Choice:
    """What the options name.

    Raises:
        ValueError: an option's value that cannot be used; the message names the option.
        ToolkitError: the CUDA compiler is missing.
    """
    specs = all_specs()
    every_dtype = sorted({str(d).removeprefix("torch.") for spec in specs.values() for d in spec.dtypes})
    ops = parse_names("--ops", options.ops, list(specs))
    sides = parse_names("--sides", options.sides, SIDES)
    dtypes = parse_names("--dtypes", options.dtypes, every_dtype)
    if not 0 <= options.noise < math.inf:
        raise ValueError(f"--noise: {options.noise} is no finite number from 0 on")
    if options.json is not None:
        check_writable(options.json)
    return Choice(ops, sides, dtypes, Settings(options.all, options.noise, toolkit.find().targets), options.json)


def check_writable(file: Path) -> None:
    """Raises ValueError where the file cannot be written, before a run of many minutes."""
    if not file.absolute().parent.is_dir():
        raise ValueError(f"--json: the folder {file.parent} does not exist")
    is_new = not file.exists()
    try:
        with file.open("a"):
            pass
        if is_new:
            file.unlink()
    except OSError as error:
        raise ValueError(f"--json: {file} cannot be written: {error.strerror}") from error


def parse_names(option: str, value: str, valid_names: Sequence[str]) -> list[str]:
    """The names of a comma-separated option, all known ones where it is empty.

    Raises:
        ValueError: a name that is not known.
    """
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in valid_names:
            raise ValueError(f"{option}: {name!r} is not one of {', '.join(valid_names)}")
    return list(dict.fromkeys(names)) or list(valid_names)


def print_progress(console: Console, line: str) -> None:
    """Print progress where no bar is shown, in a log or a pipe."""
    if not console.is_terminal:
        console.print(line, highlight=False, markup=False)


def run(console: Console, choice: Choice) -> Outcome:
    """Build, emulate and print.

    Raises:
        ToolkitError: a compiler is missing.
    """
    start = time.monotonic()
    text = TextColumn("{task.description}")
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: list[CaseResult] = []
    interrupted = False
    steps = len(choice.ops) * len(choice.sides) * len(choice.settings.targets)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        try:
            building = progress.add_task("compiling", total=steps)
            report_ready = lambda name: progress.update(building, advance=1, description=f"compiling, {name} ready")  # noqa: E731
            print_progress(console, f"compiling for {len(choice.settings.targets)} targets")
            build_sides(choice.ops, choice.sides, choice.settings.targets, report_ready)
            progress.update(building, completed=steps, description="compiled")
            compiled_at = time.monotonic()
            print_progress(console, f"compiled in {compiled_at - start:.0f} s, emulating")
            emulating = progress.add_task("emulating", total=None)
            for count, total, unit_results in emulate(choice.ops, choice.sides, choice.dtypes, choice.settings):
                results += unit_results
                name = f"{unit_results[0].op} {unit_results[0].side} {unit_results[0].dtype}" if unit_results else ""
                progress.update(emulating, total=total, completed=count, description=f"emulating, {name} done")
                if count * 10 // total > (count - 1) * 10 // total:
                    print_progress(console, f"{count / total:.0%} emulated after {time.monotonic() - start:.0f} s")
        except KeyboardInterrupt:
            interrupted = True
    Console(width=max(console.width, TABLE_WIDTH)).print(results_table(results))
    for line in failures(results):
        console.print(line, highlight=False, markup=False)
    console.print(f"\n{NOTE}\n", highlight=False, markup=False)
    if interrupted:
        console.print("interrupted: the table holds what was there till then", highlight=False)
        return Outcome(results, interrupted)
    seconds = time.monotonic() - compiled_at
    passed = sum(result.passed for result in results)
    console.print(
        f"{passed} of {len(results)} calls right and without a problem; "
        f"compiled in {compiled_at - start:.0f} s, emulated in {seconds:.0f} s",
        highlight=False,
    )
    if choice.file is not None:
        cases = [asdict(result) for result in results]
        choice.file.write_text(
            json.dumps({"note": NOTE, "settings": asdict(choice.settings), "cases": cases}, indent=1)
        )
    return Outcome(results, interrupted)
