"""What emulation contributes to the summary: emulated kernels are not timed kernels."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES, representative
from evidence.judge.headline import Clause, Figure, Saying
from evidence.sections.gpu.readings import emulated, summary_rows


def _results(pack: Pack) -> Clause | None:
    sides = emulated(pack)
    if not sides:
        return None
    rows = tuple(summary_rows(pack))
    if set(sides) == set(SIDES) and all(side.right for side in sides.values()):
        return Clause("the NVIDIA kernels of both sides give right results under emulation", rows)
    parts = [
        f"{SIDE_NAMES[name]} right on {len(side.ops) - len(side.faulty)} of {text.count(len(side.ops), 'op')}"
        for name, side in sides.items()
    ]
    return Clause(f"NVIDIA kernels under emulation: {', '.join(parts)}", rows)


def _emulated(pack: Pack) -> Mapping[str, str]:
    return {
        representative(name, "cuda"): f"{len(side.ops) - len(side.faulty)} of {text.count(len(side.ops), 'op')} right"
        for name, side in emulated(pack).items()
    }


COSTS = (Figure(60, "GPU, emulated", _emulated),)
CLAUSES = (Saying("GPU", 20, _results),)
