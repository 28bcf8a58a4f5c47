"""What the targets contribute to the summary: a kernel that was built did not run."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES, representative
from evidence.judge.headline import Clause, Figure, Saying
from evidence.judge.judgement import pointers
from evidence.judge.questions import AMD, NVIDIA
from evidence.sections.targets.readings import coverage, coverage_words


def _built(pack: Pack) -> Clause | None:
    """For how many GPU targets each side was built; what this machine has no toolchain for is no failure of a side."""
    parts, rows = [], []
    for side in SIDES:
        covered = [each for vendor, each in coverage(pack, side).items() if vendor in (NVIDIA, AMD)]
        built = sum(len(each.built) for each in covered)
        tried = built + sum(len(each.failed) + len(each.untried) for each in covered)
        if tried:
            notes = {
                "fail": sum(len(each.failed) for each in covered),
                "without a toolchain here": sum(len(each.untried) for each in covered),
            }
            reasons = ", ".join(f"{number} {note}" for note, number in notes.items() if number)
            parts.append(f"{SIDE_NAMES[side]} for {built} of {tried}" + (f" ({reasons})" if reasons else ""))
            rows += pointers(row for each in covered for row in each.rows)
    return Clause(f"built for NVIDIA and AMD targets, not run: {', '.join(parts)}", tuple(rows)) if parts else None


def _targets(pack: Pack) -> Mapping[str, str]:
    values = {}
    for side in SIDES:
        covered = {vendor: each for vendor, each in coverage(pack, side).items() if vendor in (NVIDIA, AMD)}
        if covered:
            values[representative(side, "cuda")] = coverage_words(covered)
    return values


COSTS = (Figure(61, "GPU, built only", _targets),)
CLAUSES = (Saying("GPU", 30, _built),)
