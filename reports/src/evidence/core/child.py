"""The one way to run a child process.

A child has a process group of its own. When its time is over, when the caller is interrupted and when it ends, all that
is left of the group is killed, so that nothing that it started outlives it. `run_command` waits for the end and returns
the output; a `Child` with `lines` reports JSON lines as they come, and its stack where it falls silent.
"""

from __future__ import annotations

import functools
import math
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from evidence.core import json_lines

T = TypeVar("T")

TELEMETRY = "MODULAR_TELEMETRY_ENABLED"
"""Every child has this at `false`: what MAX sends while something is timed would be in the time."""

DUMP_SECONDS = 10.0
"""For a child that hangs to write its stacks."""


class Stopped(Exception):
    """The time of the children was over: this one did not start, or was killed."""


class Silent(Exception):
    """A child reported nothing for too long; `where` is the frame that it hung in, or empty."""

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"nothing within {seconds:.0f} s")
        self.where = where


class Children:
    """Children that share an end: none runs for longer than `seconds`, or after `stop`."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, 0 or less when the time is over."""
        return self.end - time.monotonic()

    def stop(self) -> None:
        """The time is over now; children that run are killed."""
        with _lock:
            self.end = time.monotonic()
            for child in _running:
                if child.children is self:
                    child.kill()


_running: set[Child] = set()
_lock = threading.Lock()


class Child:
    """A child process; a context manager that kills its group and closes its output.

    Attributes:
        code: exit status, negative for a signal; None while it runs.
        cpu_seconds: user and system, from wait4(2): of every descendant that was waited for.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        lines: bool = False,
        children: Children | None = None,
        cores: Sequence[int] | None = None,
    ) -> None:
        """Starts it; standard error, and without `lines` standard output too, go to `output`.

        Args:
            command: program and arguments.
            cwd: its working directory.
            env: its environment; None for that of this process. Telemetry is off in either.
            lines: standard output is read by `lines`.
            children: those that it ends with.
            cores: those that it may use; None for all.

        Raises:
            Stopped: the time of `children` is over.
            OSError: the program cannot be started.
        """
        self.children = children or Children()
        self.code: int | None = None
        self.cpu_seconds = 0.0
        self._log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by __exit__)
        try:
            with _lock:
                if self.children.left() <= 0:
                    raise Stopped
                self._process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env={**(os.environ if env is None else env), TELEMETRY: "false"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if lines else self._log,
                    stderr=self._log,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                    preexec_fn=None if cores is None else functools.partial(os.sched_setaffinity, 0, cores),
                )
                self.pid = self._process.pid
                _running.add(self)
        except BaseException:
            self._log.close()
            raise
        self._lines: queue.Queue[str | None] = queue.Queue()
        if lines:
            threading.Thread(target=self._forward, daemon=True).start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self.code is None:
            self._reap()
        with _lock:
            _running.discard(self)
        self._log.close()

    def output(self) -> str:
        """What it wrote so far, without the JSON lines."""
        size = self._log.seek(0, os.SEEK_END)
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def kill(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal what has just ended
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> bool:
        """Wait for its end; False where it was killed because it took longer than `timeout` seconds."""
        if self.code is not None:
            return True
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(min(timeout, threading.TIMEOUT_MAX), end)
        timer.daemon = True
        timer.start()
        try:
            self._reap()
        finally:
            timer.cancel()
        return not late.is_set()

    def _reap(self) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime

    def lines(self, silence: float) -> Iterator[Any]:
        """The values of its JSON lines as they come, up to its end; other lines go to the output.

        Args:
            silence: seconds between two lines, and until it ends after the last one.

        Raises:
            Silent: nothing came for so long; it has written its stacks to the output and is dead.
            Stopped: the time of its group was over.
        """
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, min(silence, self.children.left(), threading.TIMEOUT_MAX)))
            except queue.Empty:
                if self.children.left() <= 0:
                    raise Stopped from None
                raise Silent(silence, self._dump()) from None
            if line is None:
                if self.children.left() <= 0:
                    raise Stopped
                if not self.wait(silence):
                    raise Silent(silence, "")
                return
            value = json_lines.parse(line)
            if value is None:
                self._log.write(line.encode())
            else:
                yield value

    def _forward(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _dump(self) -> str:
        """End it by SIGABRT, at which Python with faulthandler writes its stacks; the innermost frame of its thread."""
        begin = len(self.output())
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)
        self.wait(DUMP_SECONDS)
        _, _, main = self.output()[begin:].rpartition("(most recent call first):")  # the main thread comes last
        frame = re.search(r'File "([^"]+)", line (\d+) in (\S+)', main)
        return f" in {frame[3]}, {Path(frame[1]).name}:{frame[2]}" if frame else ""


@dataclass(frozen=True)
class Finished:
    """A finished command.

    Attributes:
        code: exit status, negative for a signal; None where it was killed because its time was over.
        seconds: wall time.
        output: what it wrote to standard output and standard error.
        peak_mb: MiB, 0 where it was not asked for: the largest sum of resident sizes over the process tree, sampled
            every 50 ms. A page that several processes share counts in each. (ru_maxrss would begin at the size of the
            process that started the command, and know one process only.)
        cpu_seconds: user and system; what is left of a killed tree is not in them.
    """

    code: int | None
    seconds: float
    output: str
    peak_mb: float = 0.0
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


def run_command(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 900.0,
    peak_memory: bool = False,
    children: Children | None = None,
) -> Finished:
    """Run a command to its end.

    Args:
        command: program and arguments.
        cwd: its working directory.
        env: its environment; None for that of this process.
        timeout: seconds after which it is killed.
        peak_memory: sample its memory, which takes 3 ms of a core every 50 ms.
        children: those that it ends with.

    Raises:
        Stopped: the time of `children` was over before it ended.
        OSError: the program cannot be started.
    """
    begin = time.perf_counter()
    with Child(command, cwd, env, children=children) as child:
        memory = _PeakMemory(child.pid) if peak_memory else None
        if memory:
            memory.start()
        try:
            ended = child.wait(min(timeout, child.children.left()))
        finally:
            seconds = time.perf_counter() - begin
            if memory:
                memory.over.set()
        if memory:
            memory.join()
        if child.children.left() <= 0 and (not ended or (child.code or 0) < 0):
            raise Stopped
        code = child.code if ended else None
        return Finished(code, seconds, child.output(), memory.peak_mb if memory else 0.0, child.cpu_seconds)


class _PeakMemory(threading.Thread):
    """Samples the resident memory of a process and its descendants until told to stop."""

    def __init__(self, pid: int) -> None:
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
        return int(process.memory_info().rss)
    return 0


def side_by_side(
    calls: Sequence[Callable[[], T]], at_once: int, in_order: bool = False, children: Children | None = None
) -> Generator[T, None, None]:
    """Results of calls that wait for children, in threads; when one fails or Ctrl-C comes, no child is left.

    Where its consumer may fail, it is closed by `contextlib.closing`.

    Args:
        calls: each runs children.
        at_once: how many of them.
        in_order: results come in the order of the calls, else as soon as they are there.
        children: those that the calls run, which then start no more.
    """
    with ThreadPoolExecutor(at_once) as pool:
        tasks = [pool.submit(call) for call in calls]
        try:
            yield from (task.result() for task in (tasks if in_order else as_completed(tasks)))
        except BaseException:
            if children:
                children.stop()
            for task in tasks:
                task.cancel()
            # A call whose child was killed may start another one.
            while not all(task.done() for task in tasks):
                with _lock:
                    for child in _running:
                        child.kill()
                time.sleep(0.1)
            raise
