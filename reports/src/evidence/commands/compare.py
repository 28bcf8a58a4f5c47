"""`evidence compare`: build, check and measure both sides, write a pack and its report."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from evidence.commands import report
from evidence.commands.load import others_now, wait_quiet
from evidence.core.mode import FULL, QUICK, STANDARD

LONGEST_WAIT = 30.0
"""Minutes of `--wait-quiet`."""

NOT_QUIET = 3
"""Exit code where the machine did not become quiet."""


def add(parser: argparse.ArgumentParser) -> None:
    """What is measured and where the pack goes."""
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--full",
        action="store_const",
        dest="mode",
        const=FULL,
        help="every dtype, size and route, three builds, nothing from recorded results: over an hour on two cores",
    )
    effort.add_argument(
        "--quick", action="store_const", dest="mode", const=QUICK, help="a smoke run that no decision should rest on"
    )
    parser.set_defaults(mode=STANDARD)
    parser.add_argument("--ops", default="", help="comma-separated op names (default: all)")
    parser.add_argument(
        "--routes", default="", help="comma-separated route names (default: those that decide a question)"
    )
    parser.add_argument(
        "--only", default="", help="comma-separated sections to measure, e.g. runtime,dispatch (default: all)"
    )
    parser.add_argument(
        "--wait-quiet",
        type=float,
        nargs="?",
        const=LONGEST_WAIT,
        default=None,
        metavar="MINUTES",
        help=f"wait until other programs leave the machine alone, at most so long (default: {LONGEST_WAIT:.0f})",
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where the ops run")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the pack (default: reports/out/<machine>-<time>)"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Measure.

    Returns:
        0, 1 when a stage ended with an exception or a row is faster than the machine can be, 2 for bad usage, 3 where
        `--wait-quiet` gave up, 130 after Ctrl-C with a partial pack.
    """
    from evidence.core.plan import UsageError, make_plan
    from evidence.judge.weights import WeightsError, read_weights

    try:
        read_weights()  # a slip in an edited file is said now, not after the measurement
        plan = make_plan(options.ops, options.routes, options.device, options.mode, options.only)
    except (UsageError, WeightsError) as error:
        console.print(f"compare: {error}", highlight=False, markup=False)
        return 2
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            console.print("compare: --device cuda: this torch sees no CUDA or ROCm device", highlight=False)
            return 2
    from evidence.core.pack import COMPLETE, read_pack
    from evidence.core.run import compare, describe, point_latest
    from evidence.core.section import declarations
    from evidence.judge.summary import lines, summary
    from evidence.page.report import HTML_FILE

    if options.wait_quiet is not None and not wait_quiet(options.wait_quiet, console):
        return NOT_QUIET
    others = others_now(console)
    console.print(describe(plan), highlight=False)
    finished = compare(plan, options.out, console, others)
    code = report.render_pack(finished.folder, console) or int(bool(finished.failed_stages))
    point_latest(finished.folder)
    if finished.pack.status != COMPLETE:
        return 130
    pack = read_pack(finished.folder)
    console.print()
    for line in lines(summary(pack)):
        console.print(line, highlight=False, markup=False)
    for _, impossible in declarations("measure", "impossible"):
        for problem in impossible(pack):
            console.print(f"[red]compare: {escape(problem)}[/]", highlight=False)
            code = code or 1
    console.print(f"\n{finished.folder / HTML_FILE}", highlight=False, markup=False)
    return code
