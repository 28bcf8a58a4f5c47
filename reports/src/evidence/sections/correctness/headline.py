"""What correctness contributes to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core.pack import Pack
from evidence.judge.headline import Figure
from evidence.sections.correctness.row import CorrectnessRow


def checks(pack: Pack, device: str = "cpu") -> Mapping[str, tuple[int, int]]:
    """Checks passed and checks run on a device, by route."""
    counts: dict[str, tuple[int, int]] = {}
    for row in pack.table(CorrectnessRow):
        if row.device == device and row.passed + row.failed:
            passed, run = counts.get(row.route, (0, 0))
            counts[row.route] = passed + row.passed, run + row.passed + row.failed
    return counts


def _correct(pack: Pack) -> Mapping[str, str]:
    return {route: f"{passed:,} of {run:,}" for route, (passed, run) in checks(pack).items()}


FIGURES = (Figure(10, "Correct", _correct),)
