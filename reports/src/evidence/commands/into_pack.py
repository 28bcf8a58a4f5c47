"""The pack that a command of one section writes into, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from evidence.core.pack import Pack, empty_pack, read_pack

Rows = TypeVar("Rows")


def fill(
    console: Console, total: int, steps: Callable[[Callable[[str], None]], Iterable[Rows]], keep: Callable[[Rows], None]
) -> bool:
    """Keeps what each step gives as soon as it is there, under a progress bar; whether Ctrl-C ended it early.

    Args:
        console: for the bar, where it is a terminal.
        total: how many steps there are.
        steps: gives the steps' rows; it calls what it is given with a few words on what it is at.
        keep: takes the rows of a step.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        try:
            for rows in steps(lambda what: progress.update(task, description=what)):
                keep(rows)
                progress.advance(task)
        except KeyboardInterrupt:
            console.print("interrupted: what was there till now is in the pack", highlight=False)
            return True
    return False


def pack_for(pack_path: Path | None, section: str, what: str) -> tuple[Path, Pack]:
    """The pack to write into and its folder; without a pack at `pack_path`, a new one in reports/out.

    Args:
        pack_path: a pack's folder or its file; by default reports/out/latest.
        section: names the new folder.
        what: the section in words, for the reason that a new pack gives for the others.

    Raises:
        PackError: the pack cannot be read.
    """
    from evidence.core import machine

    latest = machine.ROOT / "reports" / "out" / "latest"
    path = pack_path or (latest.resolve() if latest.exists() else None)
    if path is not None and path.exists():
        return path if path.is_dir() else path.parent, read_pack(path)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = path or latest.with_name(f"{machine.short_name()}-{section}-{stamp}")
    folder.mkdir(parents=True)
    pack = empty_pack(f"only {what} was asked for; `nox -s compare` measures the rest")
    pack.set_facts("machine", machine.machine())
    pack.set_facts("versions", machine.versions())
    pack.set_facts("settings", machine.settings())
    pack.finish()
    return folder, pack
