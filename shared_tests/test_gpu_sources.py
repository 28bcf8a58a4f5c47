"""GPU sources compile for their targets on a machine without a GPU; whether they run is for a machine that has one.

`nox -s targets` builds for more, and optimised.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from evidence.measure.targets_proof import cubins

CSRC = Path(__file__).resolve().parent.parent / "cpp_ext" / "csrc"
TARGETS = ("80", "90", "100")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
def test_cuda_sources_compile(tmp_path: Path) -> None:
    """Every .cu for sm_80, sm_90 and sm_100, and machine code for each is inside."""
    # All targets in one run, and little optimised: attention.cu takes 32 s so and 97 s as it is built.
    flags = ["-std=c++20", "-Xcicc", "-O1", "-Xptxas", "-O1", f"-I{CSRC}"]
    flags += [f"-gencode=arch=compute_{target},code=sm_{target}" for target in TARGETS]
    sources = sorted((CSRC / "cuda").glob("*.cu"))
    assert len(sources) > 20

    def wrong(source: Path) -> str | None:
        to = tmp_path / f"{source.stem}.o"
        done = _run("nvcc", *flags, "-c", str(source), "-o", str(to))
        if done.returncode:
            return f"{source.name}: {done.stderr}"
        found = {name for name, size in cubins(to.read_bytes()) if size}
        return None if found == {f"sm_{target}" for target in TARGETS} else f"{source.name} holds code for {found}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert [told for told in pool.map(wrong, sources) if told] == []


def test_mojo_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """The whole catalogue into one MEF for an NVIDIA target, through a virtual device: its code is inside."""
    done = _run(sys.executable, "-m", "mojo_ops.build", "--target", "cuda:sm_90", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    mef = next(tmp_path.glob("cuda*.mef"))
    assert b"sm_90" in mef.read_bytes()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
