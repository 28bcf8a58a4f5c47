"""Run a command and learn its wall time, peak memory and output, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """A finished command: exit `code` (None: killed at its timeout), wall `seconds`, largest process's `peak_mb`."""

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


def run_timed(command: list[str], cwd: Path, env: dict[str, str] | None = None, timeout: float = 900) -> Finished:
    """Run `command` to its end in a process group of its own; on timeout or interruption the whole group is killed."""
    with tempfile.TemporaryFile() as stream:
        begin = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        late = threading.Event()

        def kill() -> None:
            late.set()
            os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, kill)
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        finally:
            timer.cancel()
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        stream.seek(0)
        output = stream.read().decode(errors="replace")
    # ru_maxrss is kibibytes on Linux and bytes on macOS; of the largest process, not the sum
    unit = 1024 if os.uname().sysname != "Darwin" else 1024 * 1024
    return Finished(None if late.is_set() else child.returncode, seconds, usage.ru_maxrss / unit, output)
