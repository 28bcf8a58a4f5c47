"""Whether other programs used the machine when a run began: what a reader must know before any figure."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.thresholds import BUSY_SHARE


def busy_words(cores: int, others: float | None, load_average: float | None) -> str | None:
    """One sentence where the machine was busy; None where it was quiet or nobody looked.

    Args:
        cores: that the run could use.
        others: cores that other programs used just before the run began; it decides where it is known.
        load_average: of the minute before, for runs that did not look at the other programs; the run's own preparation
            may be in it.
    """
    limit = BUSY_SHARE * cores
    machine = text.count(cores, "core")
    if others is not None:
        seen = f"other programs used {text.short(others)} of {machine}" if others > limit else None
    else:
        is_busy = load_average is not None and load_average > limit
        seen = (
            f"the load average of the minute before was {text.short(load_average or 0.0)} on {machine}"
            if is_busy
            else None
        )
    if seen is None:
        return None
    return (
        f"This run began on a busy machine: {seen}, where {text.tick(text.short(limit))} is the most that counts as "
        "quiet. Its times may be too long, and differences between routes less certain than they look."
    )


def busy(pack: Pack) -> str | None:
    """The sentence for a pack."""
    facts = pack.facts("machine")
    cores = facts.get("cores_usable")
    if not isinstance(cores, int):
        return None
    return busy_words(cores, facts.get("load_others"), facts.get("load_average"))


def warnings(pack: Pack) -> list[str]:
    """Why the times of a pack may be less certain than they look, a sentence each."""
    sentence = busy(pack)
    return [sentence] if sentence else []
