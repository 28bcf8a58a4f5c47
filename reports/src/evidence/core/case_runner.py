"""Hands cases to a measuring process, and starts another one behind a case that crashed or hung."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.core.child import Child, Silent
from evidence.core.machine import ROOT

Case = dict[str, Any]


class CaseRunner:
    """Runs cases of a section in `evidence.core.worker`."""

    def __init__(
        self,
        section: str,
        device: str,
        log: Path,
        env: Mapping[str, str],
        timeout: float,
        cores: Sequence[int] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            section: whose `worker.py` has the runners.
            device: torch device type.
            log: gets what the processes print.
            env: their environment.
            timeout: seconds within which a process must report something.
            cores: those that a process may use, or None for all.
        """
        self.section, self.device, self.log = section, device, log
        self.env, self.timeout, self.cores = env, timeout, cores
        self.child: Child | None = None

    def run(
        self, cases: Sequence[Case], heard: Callable[[dict[str, Any]], None], lost: Callable[[Case, str], None]
    ) -> None:
        """Hand `heard` every line of the process; `lost` gets a case whose process crashed or hung, and why."""
        left = list(cases)
        while left:
            reached, reason = self._once(left, heard)
            if reason is None:
                return
            if reached is None:
                for case in left:
                    lost(case, reason)
                return
            lost(left[reached], reason)
            left = left[reached + 1 :]

    def _once(self, cases: list[Case], heard: Callable[[dict[str, Any]], None]) -> tuple[int | None, str | None]:
        """The case at which the process ended and why; no case where it refused to measure, no reason at its end."""
        job = json.dumps({"section": self.section, "cases": cases, "device": self.device})
        command = [sys.executable, "-X", "faulthandler", "-m", "evidence.core.worker", job]
        index = -1
        with Child(command, ROOT, self.env, lines=True, cores=self.cores) as self.child:
            try:
                for line in self.child.lines(self.timeout):
                    if "fatal" in line:
                        return None, line["fatal"]
                    index += "begin" in line
                    heard(line)
            except Silent as silent:
                return max(index, 0), f"{silent}: killed{silent.where} (see {self.log.name})"
            finally:
                with self.log.open("a") as log:
                    log.write(self.child.output())
        code = self.child.code
        return (None, None) if code == 0 else (max(index, 0), f"the process ended with {code} (see {self.log.name})")
