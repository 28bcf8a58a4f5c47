"""What the targets contribute to the summary: a kernel that was built did not run."""

from __future__ import annotations

from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.judge.headline import Clause, Saying
from evidence.judge.judgement import pointers
from evidence.judge.questions import AMD, NVIDIA
from evidence.sections.targets.readings import coverage


def _built(pack: Pack) -> Clause | None:
    """For how many GPU targets each side was built."""
    parts, rows = [], []
    for side in SIDES:
        covered = [each for vendor, each in coverage(pack, side).items() if vendor in (NVIDIA, AMD)]
        built = sum(len(each.built) for each in covered)
        tried = built + sum(len(each.failed) + len(each.untried) for each in covered)
        if tried:
            parts.append(f"{SIDE_NAMES[side]} for {built} of {tried}")
            rows += pointers(row for each in covered for row in each.rows)
    return Clause(f"built, not run: {', '.join(parts)} NVIDIA and AMD targets", tuple(rows)) if parts else None


CLAUSES = (Saying("GPU", 30, _built),)
