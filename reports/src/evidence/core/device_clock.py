"""Time on a GPU by its own events, with a cold second-level cache, and the state of the card while it was measured.

Nothing here changes a clock, a power limit or any other setting of a card.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from evidence.core.child import run_command

Call = Callable[[], object]

# What is written between two calls, so that none finds its inputs in the second-level cache (50 MB on an H100), and
# so that the device is busy while the host prepares the call: 512 MB take an H100 some 200 us. Of a call whose host
# part is longer than that, the rest stands in its device time.
FLUSH_BYTES = 512 << 20
CALLS = 10  # of a visit; events resolve about 0.5 us

_NVIDIA = (
    "name",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "temperature.gpu",
    "power.draw",
    "clocks_event_reasons.active",
)


class DeviceClock:
    """Times calls by pairs of events on the current stream, each call after a write of `FLUSH_BYTES`."""

    def __init__(self, device: str = "cuda", flush_bytes: int = FLUSH_BYTES) -> None:
        self._flush = torch.empty(flush_bytes, dtype=torch.uint8, device=device)

    def visit(self, call: Call) -> Callable[[], float]:
        """What gives the mean microseconds of `CALLS` calls, the first of which is not timed."""

        def time() -> float:
            call()
            pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(CALLS)]
            for begin, end in pairs:
                self._flush.zero_()
                begin.record()
                call()
                end.record()
            torch.cuda.synchronize()
            return sum(begin.elapsed_time(end) for begin, end in pairs) / CALLS * 1000

        return time


def cards() -> list[dict[str, Any]]:
    """Clocks (MHz), temperature (deg C), power (W) and what limits the clocks, by card; empty where no tool says."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(_NVIDIA)}", "--format=csv,noheader,nounits"]
    done = run_command(command, Path.cwd(), timeout=20)
    if done.code != 0:
        return []
    rows = csv.reader(io.StringIO(done.output), skipinitialspace=True)
    return [dict(zip(_NVIDIA, (_number(cell) for cell in row), strict=False)) for row in rows if row]


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell.strip()
