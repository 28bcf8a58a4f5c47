"""Runs Python code in a child process with a timeout, for code that may abort, hang or corrupt its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass

PRELUDE = """
import os, sys, threading, time
import torch
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs
route, spec, device = all_routes()[{route!r}], all_specs()[{op!r}], {device!r}
call = route.functional(spec)
args = spec.sized(2, spec.dtypes[0], device)
expected = spec.results(call(*args))
def right(value):
    return all(map(torch.equal, spec.results(value), expected))
"""


@dataclass(frozen=True)
class ChildResult:
    """How a child ended. `code` is its exit status, minus the signal that killed it, or None after a timeout."""

    code: int | None
    output: str

    def __str__(self) -> str:
        outcome = "was still running at the timeout" if self.code is None else f"ended with {self.code}"
        return f"the child {outcome}; its output: {self.output[-2000:]!r}"


def run_child(
    code: str,
    timeout: float,
    route: str | None = None,
    op: str = "add",
    device: str = "cpu",
    env: dict[str, str] | None = None,
) -> ChildResult:
    """Runs `code` in a child. With a route, the code can use `call`, `args`, `expected` and `right(value)` of one op.

    Args:
        code: Python source, dedented.
        timeout: seconds after which the child and everything it started are killed.
        route: name of the route.
        op: name of the op.
        device: torch device type of the arguments.
        env: variables in addition to those of this process.
    """
    source = (PRELUDE.format(route=route, op=op, device=device) if route else "") + textwrap.dedent(code)
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", source],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    try:
        output, _ = child.communicate(timeout=timeout)
        return ChildResult(child.returncode, output)
    except subprocess.TimeoutExpired:
        # Kill the whole process group, because forked children also hold the pipe open.
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        output, _ = child.communicate()
        return ChildResult(None, output)
