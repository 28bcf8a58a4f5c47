"""The correctness gate: the shared suite in a process of its own, counted by op, route and dtype."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from evidence.measure.machine import ROOT

Row = dict[str, Any]


def run_suite(route: str, ops: list[str], device: str, log: Path, timeout: float) -> list[Row]:
    """Rows of the `correctness` section for one route.

    A crash or a hang of the suite's process is a failed row for every op, with the exit code in its message.
    """
    with tempfile.TemporaryDirectory() as folder:
        verdicts = Path(folder) / "verdicts.json"
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-p", "no:cacheprovider",
                   "shared_tests/test_correctness.py", "shared_tests/test_errors.py", "--routes", route,
                   "--ops", ",".join(ops), "--device", device, "--verdicts", str(verdicts)]  # fmt: skip
        with log.open("a") as stream:
            try:
                code: int | str = subprocess.run(
                    command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, timeout=timeout, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = f"nothing within {timeout:.0f} s"
        if code in (0, 1) and verdicts.exists():
            return [{**row, "device": device} for row in json.loads(verdicts.read_text())]
    message = f"the suite's process ended with {code}; see {log.name}"
    empty = {"passed": 0, "failed": 1, "skipped": 0, "message": message}
    return [{"op": op, "route": route, "dtype": "all", "device": device, **empty} for op in ops]


def failed(rows: list[Row], op: str, route: str, dtype: str) -> str | None:
    """Why a case may not be timed, or None: a failed test of the op on this route, in this dtype or in no one dtype."""
    for row in rows:
        if row["op"] == op and row["route"] == route and row["dtype"] in (dtype, "all") and row["failed"]:
            return row["message"] or "failed the shared suite"
    return None
