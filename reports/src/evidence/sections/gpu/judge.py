"""What is judged from the GPU kernels: a gate, remarks on claims about speed and reach, and what changed."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import representative
from evidence.judge.comparison import RUN_TIME, comparisons
from evidence.judge.diff import Diff, change_of_count, common, name_of
from evidence.judge.gates import Finding, Gate
from evidence.judge.judgement import pointed, pointers
from evidence.judge.questions import NVIDIA
from evidence.judge.scope import Scope
from evidence.sections.gpu.readings import emulated, results_words, summary, summary_rows, traffic_words
from evidence.sections.gpu.row import GpuRow

KEY = ("op", "side", "dtype")


def _gpu(scope: Scope, side: str) -> Finding:
    device = scope.torch_device
    rows = [
        row
        for row in pointed(scope.pack, "runtime")
        if device not in (None, "cpu")
        and (row.row.device, row.row.mode, row.row.status) == (device, "call", "ok")
        and row.row.route == representative(side, device)
    ]
    if not rows:
        needs = f"not timed here: needs a run of compare on a machine with an {scope.device} GPU"
        shown = summary(scope.pack) if scope.device == NVIDIA else None
        return Finding(None, f"{needs}; {shown}" if shown else needs, summary_rows(scope.pack) if shown else [])
    return Finding(True, text.count(len(rows), "run-time row"), pointers(rows))


GATES = (Gate("gpu", "measured on such a GPU", _gpu),)


def _traffic(pack: Pack) -> tuple[str, list[str]] | None:
    """Emulated GPU kernels have no times: where no GPU was timed, their memory traffic stands beside those of CPUs."""
    traffic = [summary for side in emulated(pack).values() if (summary := traffic_words(side))]
    timed = (c for c in comparisons(pack) if c.topic == RUN_TIME and c.device != "cpu" and not c.noisy)
    if not traffic or any(timed):
        return None
    sentence = f"No GPU was timed; emulated memory sectors relative to the least: {', '.join(traffic)}."
    return sentence, summary_rows(pack)


def _results(pack: Pack) -> tuple[str, list[str]] | None:
    sides = emulated(pack).values()
    if not sides:
        return None
    return f"NVIDIA kernels emulated: {', '.join(map(results_words, sides))}.", summary_rows(pack)


REMARKS = {"cpp-speed": _traffic, "run-anywhere": _results}


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Wrong results and problems under emulation."""
    for a, b in common(before, after, GpuRow, KEY, changes):
        for count in ("wrong", "problems"):
            change_of_count("gpu", name_of(a, KEY), getattr(a, count), getattr(b, count), count, changes)
