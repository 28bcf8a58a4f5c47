"""What measuring processes report of the dispatch lab, as it goes into the pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from evidence.core.pack import PARTIAL, RAN, write_raw
from evidence.core.stage import Run
from evidence.core.timings import Timings


class Listener:
    """Hears a `CaseRunner`: lines go into `timings` under `key(line, case index)`, lost cases leave their reason."""

    def __init__(self, run: Run, timings: dict[Any, Timings], key: Callable[[dict[str, Any], int], Any]):
        self.run, self.timings, self.key = run, timings, key
        self.reasons: dict[int, str] = {}
        self.begin(0)

    def begin(self, process: int) -> None:
        """A fresh process begins with the first case again."""
        self.process, self.index = process, -1
        self.begun: dict[str, Any] | None = None

    def heard(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            self.index += 1
            self.begun = line["begin"]
            return
        self.timings.setdefault(self.key(line, self.index), Timings()).add(line)
        self.run.raw.append({"process": self.process, **line})

    def lost(self, case: dict[str, Any], reason: str) -> None:
        if self.begun != case:  # the process ended before it got there
            self.index += 1
        self.reasons[self.index] = f"worker: {reason}"


def keep(run: Run, section: str, rows: Sequence[Struct], done: bool) -> None:
    """Put what was measured so far into the pack, and the raw samples beside it."""
    run.pack.set_rows(section, rows, RAN if done else PARTIAL, None if done else "interrupted")
    write_raw(run.folder, run.raw)


@contextmanager
def recording(record: Callable[[bool], None]) -> Iterator[None]:
    """Record what was measured, as all of it at the end and as a part at an interruption."""
    try:
        yield
    except KeyboardInterrupt:
        record(False)
        raise
    record(True)
