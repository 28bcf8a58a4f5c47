"""What correctness contributes to the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES, representative
from evidence.judge.headline import Clause, Figure, Saying
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


def _wrong(device: str) -> Callable[[Pack], Clause | None]:
    def say(pack: Pack) -> Clause | None:
        """Which side gives wrong results; nothing where all checks of both sides pass."""
        counts = checks(pack, device)
        parts, rows = [], []
        for side in SIDES:
            passed, run = counts.get(representative(side, device), (0, 0))
            if passed < run:
                parts.append(f"{SIDE_NAMES[side]} fails {run - passed:,} of {text.count(run, 'check')}")
                rows += [
                    pointed.pointer
                    for pointed in pack.pointed(CorrectnessRow)
                    if pointed.row.failed
                    and (pointed.row.route, pointed.row.device) == (representative(side, device), device)
                ]
        return Clause(f"wrong results: {' and '.join(parts)}", tuple(rows)) if parts else None

    return say


FIGURES = (Figure(10, "Correct", _correct),)
CLAUSES = (Saying("CPU", 5, _wrong("cpu")), Saying("GPU", 5, _wrong("cuda")))
