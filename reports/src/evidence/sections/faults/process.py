"""Processes of the fault corpus: each in a group of its own, killed at its timeout and when the stage ends."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """A process that ended: exit `code` (negative: by a signal; None: killed at its timeout), wall seconds, output."""

    code: int | None
    seconds: float
    output: str


class Stopped(Exception):
    """The stage is over; what was asked for did not run."""


class Processes:
    """Starts processes until its time is over, and knows those that run.

    Args:
        seconds: for all of them.
        log: gets the commands and what they printed.
    """

    def __init__(self, seconds: float, log: Path):
        self.end = time.monotonic() + seconds
        self.log = log
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def left(self) -> float:
        """Seconds that are left, 0 or less when the time is over."""
        return self.end - time.monotonic()

    def run(self, command: list[str], cwd: Path, env: dict[str, str], timeout: float) -> Ended:
        """Run a command to its end.

        Raises:
            Stopped: the time was over before it ended.
        """
        with tempfile.TemporaryFile() as stream:
            with self._lock:
                if self.left() <= 0:
                    raise Stopped
                begin = time.perf_counter()
                child = subprocess.Popen(
                    command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
                self._running.add(child)
            code: int | None = None
            try:
                code = child.wait(max(0.01, min(timeout, self.left())))
            except subprocess.TimeoutExpired:
                if self.left() <= 0:
                    raise Stopped from None
            finally:
                _kill(child)
                with self._lock:
                    self._running.discard(child)
            seconds = time.perf_counter() - begin
            stream.seek(0)
            output = stream.read().decode(errors="replace")
        with self._lock, self.log.open("a") as log:
            log.write(f"== faults: {' '.join(command)}: {code} after {seconds:.1f} s\n{output[-4000:]}\n")
        if code is not None and code < 0 and self.left() <= 0:
            raise Stopped
        return Ended(code, seconds, output)

    def stop(self) -> None:
        """The time is over now; what runs is killed."""
        with self._lock:
            self.end = time.monotonic()
            for child in self._running:
                _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
