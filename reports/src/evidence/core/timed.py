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
    """A finished command: exit `code` (None: killed at its timeout), wall `seconds`, peak memory, CPU seconds, output.

    Peak memory, MiB, is the largest sum of resident sizes over the command's process tree, sampled every 50 ms (which
    takes 3 ms); a page that several processes share counts in each. (ru_maxrss would begin at the size of the process
    that started the command, and know one process only.) CPU seconds, user and system, come from wait4(2) and hold
    every descendant that was waited for, as make, ninja and compiler drivers do; what is left of a killed tree is not
    in them.
    """

    code: int | None
    seconds: float
    peak_mb: float
    output: str
    cpu_seconds: float = 0.0

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
        late = threading.Event()

        def kill() -> None:
            late.set()
            _kill_group(child.pid)

        timer = threading.Timer(timeout, kill)
        timer.start()
        cpu_seconds = 0.0
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            cpu_seconds = usage.ru_utime + usage.ru_stime
        finally:
            seconds = time.perf_counter() - begin
            timer.cancel()
            memory.over.set()
            if child.returncode is None:
                _kill_group(child.pid)
                child.wait()
        memory.join()
        stream.seek(0)
        output = stream.read().decode(errors="replace")
    code = None if late.is_set() else child.returncode
    return Finished(code, seconds, memory.peak_mb, output, cpu_seconds)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
