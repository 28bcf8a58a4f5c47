"""GPU sources compile for their targets on a machine without a GPU; whether they run is for a machine that has one.

`nox -s targets` builds for more.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.spec import all_specs


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


CSRC = Path(__file__).resolve().parent.parent / "cpp_ext/csrc"
ELEMENTWISE = [
    source
    for source in sorted((CSRC / "cuda").glob("*.cu"))
    if {"common/gpu_elementwise.h", "common/gpu_silu.h"} & set(re.findall(r'#include "(.+)"', source.read_text()))
]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
@pytest.mark.parametrize("source", ELEMENTWISE, ids=lambda source: source.stem)
def test_elementwise_cuda_kernels_load_16_bytes_at_once(source: Path, tmp_path: Path) -> None:
    """One such load of each input and one such store of each output, for every dtype."""
    ptx = tmp_path / "kernel.ptx"
    command = ["nvcc", "-std=c++20", "-O3", f"-I{CSRC}", "-arch=sm_90", "-ptx", "-o", str(ptx), str(source)]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    spec = all_specs()[source.stem]
    text = ptx.read_text()
    for instruction, tensors in (("ld", spec.tensor_args), ("st", spec.out_names)):
        wide = re.findall(rf"\b{instruction}\.global\.(?:nc\.)?v4\.", text)
        assert len(wide) >= len(tensors) * len(spec.dtypes), f"{instruction}.global.v4: {len(wide)}"


def test_mojo_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """The whole catalogue into one MEF for an NVIDIA target, through a virtual device: its code is inside."""
    command = [sys.executable, "-m", "mojo_ops.build", "--target", "cuda:sm_90", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    mef = next(tmp_path.glob("cuda*.mef"))
    assert b"sm_90" in mef.read_bytes()
