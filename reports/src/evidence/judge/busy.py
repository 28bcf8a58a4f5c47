"""What on the machine makes times less certain than they look: what a reader must know before any figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.section import declarations
from evidence.core.thresholds import BUSY_SHARE, MATTERS, STOLEN_SHARE


@dataclass(frozen=True)
class Concern:
    """A reason for doubt, and what to do about it before a run."""

    sentence: str
    advice: str


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
        "quiet. Its times may be too long."
    )


def concerns(facts: Mapping[str, Any], when: str = "during the run") -> list[Concern]:
    """The concerns about a machine.

    Args:
        facts: those of `machine` in a pack; what is missing raises no concern.
        when: the time that the counters of `during_run` are about.
    """
    return [*_of_load(facts), *_of_counters(facts.get("during_run") or {}, when), *_of_cores(facts)]


def _of_load(facts: Mapping[str, Any]) -> Iterator[Concern]:
    cores = facts.get("cores_usable")
    if isinstance(cores, int):
        sentence = busy_words(cores, facts.get("load_others"), facts.get("load_average"))
        if sentence:
            yield Concern(sentence, "End the other programs, or wait with --wait-quiet.")


def _of_counters(counters: Mapping[str, Any], when: str) -> Iterator[Concern]:
    stolen = counters.get("stolen_share") or 0.0
    if stolen > STOLEN_SHARE:
        yield Concern(
            f"The hypervisor gave {stolen:.0%} of this machine's processor time to other machines {when}.",
            "Use a machine of your own (dedicated cores), or wait with --wait-quiet.",
        )
    if stops := counters.get("stops_by_quota"):
        seconds = counters.get("seconds_stopped_by_quota")
        waited = f", {text.short(seconds)} s in all" if seconds else ""
        yield Concern(
            f"The container's CPU quota stopped processes {text.count(stops, 'time')} {when}{waited}.",
            "Raise the quota, or let fewer cores be used.",
        )
    if hot := counters.get("times_slowed_by_heat"):
        yield Concern(
            f"The processor slowed down {text.count(hot, 'time')} because of its temperature {when}.",
            "Let it cool, or switch turbo off.",
        )


def _of_cores(facts: Mapping[str, Any]) -> Iterator[Concern]:
    blocks = facts.get("setup") or {}
    cores, quota = facts.get("cores_usable"), (blocks.get("limits") or {}).get("cpu_quota_cores")
    if isinstance(cores, int) and isinstance(quota, (int, float)) and quota < cores:
        yield Concern(
            f"The CPU quota is worth {text.tick(text.short(quota))} of {text.count(cores, 'usable core')}: threads are "
            "stopped when it is used up.",
            f"Raise the quota to {cores}, or limit the run with `taskset` to as many cores as the quota is worth.",
        )
    groups = (blocks.get("cores") or {}).get("threads_of_one_core")
    if groups:
        machine = "virtual machine" if facts.get("hypervisor") else "machine"
        yield Concern(
            f"Usable cores of this {machine} are hardware threads of one core ({'; '.join(groups)}), which share its "
            "arithmetic units and caches.",
            "Use one thread of each core, for example with `taskset`.",
        )


def busy(pack: Pack) -> str | None:
    """Whether the machine was busy when the run began, in one sentence."""
    return next((concern.sentence for concern in _of_load(pack.facts("machine"))), None)


def warnings(pack: Pack) -> list[str]:
    """Why the times of a pack may be less certain than they look, a sentence each."""
    return [*(concern.sentence for concern in concerns(pack.facts("machine"))), *_unseen(pack)]


def _unseen(pack: Pack) -> Iterator[str]:
    """How much single rows must differ to be told apart, where that is more than what matters."""
    for _, smallest_ratio in declarations("noise", "smallest_ratio"):
        ratio = smallest_ratio(pack)
        if ratio is not None and ratio > MATTERS:
            yield f"In single rows, differences below {ratio - 1:.0%} cannot be told apart on this machine."
