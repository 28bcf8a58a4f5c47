"""The load that other programs put on the machine, looked at before a run begins."""

from __future__ import annotations

from rich.console import Console

SECONDS = 3.0


def others_now(console: Console) -> float | None:
    """Cores that other programs use now; None where unknown. Says first of all what makes times less certain."""
    from evidence.core import machine, quiet
    from evidence.core.counters import Counters
    from evidence.core.system import System, describe, usable_cores
    from evidence.judge.busy import concerns

    system = System(usable_cores())
    before = Counters.now(system)
    others = quiet.others(SECONDS)
    facts = {
        "cores_usable": machine.cores(),
        "hypervisor": machine.is_virtual(),
        "load_others": others,
        "setup": describe(system),
        "during_run": Counters.now(system).since(before),
    }
    for concern in concerns(facts, f"in the {SECONDS:.0f} s before this run"):
        console.print(f"[bold yellow]{concern.sentence}[/] {concern.advice}", highlight=False)
    return others


def wait_quiet(minutes: float, console: Console) -> bool:
    """Wait until other programs leave the machine alone; False where that did not happen within `minutes`."""
    from evidence.core import machine, quiet
    from evidence.core.thresholds import QUIET_SHARE

    limit = QUIET_SHARE * machine.cores()
    last = 0

    def tell(others: float, waited: float) -> None:
        nonlocal last
        line = f"waiting for a quiet machine: others use {others:.1f} cores (quiet: {limit:.1f}), {waited:.0f} s so far"
        if console.is_terminal:
            console.print(line, end="\r", highlight=False)
        elif waited >= last * 60:  # without a terminal a line a minute
            console.print(line, highlight=False)
            last = int(waited // 60) + 1

    waited = quiet.until_quiet(limit, minutes * 60, tell)
    if waited is None:
        console.print("--wait-quiet: the load of other programs cannot be read on this system", highlight=False)
        return True
    if not waited.is_quiet:
        console.print(
            f"compare: gave up after {minutes:g} min: other programs still use {waited.others:.1f} of "
            f"{machine.cores()} cores, and quiet is {limit:.1f} at most. Nothing was measured.",
            highlight=False,
        )
    return waited.is_quiet
