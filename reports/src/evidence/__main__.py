"""Command line of the evidence: `python -m evidence build | compare | report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from evidence.pack import PackError, read_pack


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="evidence", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what is missing of both sides")
    compare = commands.add_parser("compare", help="build, check and measure both sides, write a pack and its report")
    compare.add_argument("--quick", action="store_true", help="few samples and short budgets")
    compare.add_argument("--ops", default="", help="comma-separated op names (default: all)")
    compare.add_argument("--routes", default="", help="comma-separated route names (default: all)")
    compare.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where the ops run")
    compare.add_argument(
        "--out", type=Path, default=None, help="folder for the pack (default: reports/out/<machine>-<time>)"
    )
    report = commands.add_parser("report", help="render a pack again")
    report.add_argument("pack", type=Path, help="a pack's folder or its pack.json")
    return main


def run_build(console: Console) -> int:
    from evidence.measure.compare import build_missing
    from evidence.measure.machine import ROOT

    log = ROOT / "reports" / "out" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with console.status("building") as status:
        failed = build_missing(log, lambda what: status.update(what))
    for name, reason in failed.items():
        console.print(
            f"[red]build_{name} failed:[/] {reason}\n(see {log}, or run `nox -s build_{name}`)", highlight=False
        )
    return 1 if failed else 0


def run_compare(options: argparse.Namespace, console: Console) -> int:
    from evidence.measure.plan import UsageError, make_plan

    try:
        plan = make_plan(options.ops, options.routes, options.device, options.quick)
    except UsageError as error:
        console.print(f"compare: {error}", highlight=False)
        return 2
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            console.print("compare: --device cuda: this torch sees no CUDA or ROCm device", highlight=False)
            return 2
    from evidence.measure.compare import compare, describe, point_latest

    console.print(describe(plan), highlight=False)
    folder, finished = compare(plan, options.out, console)
    code = render_pack(folder, console)
    point_latest(folder)
    return code if finished else 130


def render_pack(path: Path, console: Console) -> int:
    from evidence.analyse import conclude
    from evidence.pack import write_pack
    from evidence.render import render

    folder = path if path.is_dir() else path.parent
    try:
        pack = read_pack(path)
        conclude(pack)
        write_pack(pack, folder)
        files = render(folder)
    except PackError as error:
        console.print(f"report: {error}", highlight=False)
        return 2
    for file in files:
        if file.suffix in (".html", ".md"):
            console.print(f"wrote {file}", highlight=False)
    return 0


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    console = Console(soft_wrap=True)
    if options.command == "build":
        return run_build(console)
    if options.command == "compare":
        return run_compare(options, console)
    return render_pack(options.pack, console)


if __name__ == "__main__":
    sys.exit(main())
