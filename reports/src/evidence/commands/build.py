"""`evidence build`: build what is missing of both sides."""

from __future__ import annotations

import argparse

from rich.console import Console


def add(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(options: argparse.Namespace, console: Console) -> int:
    """0, or 1 when a side did not build."""
    from evidence.core.machine import ROOT
    from evidence.core.run import build_missing

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
