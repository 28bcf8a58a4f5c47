"""Run a command and learn its wall time, peak memory and output, whatever becomes of it."""

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

import psutil


@dataclass(frozen=True)
class Finished:
    """A finished command: exit `code` (None: killed at its timeout), wall `seconds` and peak memory `peak_mb`.

    Peak memory is the largest sum of resident sizes over the command's process tree, sampled every 50 ms. (ru_maxrss
    would begin at the size of the process that started the command, and know one process only.)
    """

    code: int | None
    seconds: float
    peak_mb: float
    output: str

    @property
    def error(self) -> str:
        """The line of the output that most likely names the failure."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        if self.code is None:
            return f"killed after {self.seconds:.0f} s without an end"
        if any(line.startswith("Traceback") for line in lines):
            return lines[-1][:300]
        telling = [line for line in lines if "error" in line.lower()]
        return (telling or lines or [f"exit code {self.code}"])[0 if telling else -1][:300]


class _PeakMemory(threading.Thread):
    """Samples the resident memory of a process and its descendants until told to stop."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.peak_mb = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            with suppress(psutil.Error):
                tree = [self.root, *self.root.children(recursive=True)]
                self.peak_mb = max(self.peak_mb, sum(map(_resident, tree)) / 2**20)


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def run_timed(command: list[str], cwd: Path, env: dict[str, str] | None = None, timeout: float = 900) -> Finished:
    """Run `command` to its end in a process group of its own; on timeout or interruption the whole group is killed."""
    with tempfile.TemporaryFile() as stream:
        begin = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        memory = _PeakMemory(child.pid)
        memory.start()
        code: int | None
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            seconds = time.perf_counter() - begin
            memory.over.set()
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        memory.join()
        stream.seek(0)
        output = stream.read().decode(errors="replace")
    return Finished(code, seconds, memory.peak_mb, output)
