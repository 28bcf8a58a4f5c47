"""The load that other programs put on the machine, looked at before a run begins."""

from __future__ import annotations

from rich.console import Console

SECONDS = 3.0


def others_now(console: Console) -> float | None:
    """Cores that other programs use now, with a warning first thing where they use much; None where unknown."""
    from evidence.core import machine, quiet
    from evidence.judge.busy import busy_words

    others = quiet.others(SECONDS)
    if warning := busy_words(machine.cores(), others, None):
        console.print(f"[bold yellow]{warning}[/]", highlight=False)
    return others
