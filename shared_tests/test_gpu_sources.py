"""GPU sources compile for their targets on a machine without a GPU; whether they run is for a machine that has one.

`nox -s targets` builds for more.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
def test_cuda_sources_compile(tmp_path: Path) -> None:
    """Every .cu for sm_80, sm_90 and sm_100, and machine code for each is inside."""
    options = ["--sides", "cpp", "--targets", "sm_80,sm_90,sm_100", "--pack", str(tmp_path / "pack")]
    command = [sys.executable, "-m", "evidence", "targets", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "pack" / "pack.json").read_text())["targets"]["rows"]
    assert {row["target"] for row in rows} == {"sm_80", "sm_90", "sm_100"}
    for row in rows:
        assert row["status"] == "built", row
        assert "cubin" in row["proof"]


def test_mojo_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """The whole catalogue into one MEF for an NVIDIA target, through a virtual device: its code is inside."""
    command = [sys.executable, "-m", "mojo_ops.build", "--target", "cuda:sm_90", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    mef = next(tmp_path.glob("cuda*.mef"))
    assert b"sm_90" in mef.read_bytes()
