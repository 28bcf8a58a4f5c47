"""An error that a Mojo kernel raises on the CPU reaches the caller on both routes, with its text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.child import run_child
from shared_tests.routes import all_routes

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "    def run[dtype: DType, target: StaticString](call: Call) raises:\n"
RAISE = """\
        if call.output(0).numel % 2:
            raise Error("add: an odd number of elements")
"""

# The larger of the odd sizes runs on PyTorch's thread pool. A call after an error is right again.
CALLS = """
import torch
import mojo_ops, mojo_ops.aot
for namespace in ("mojo_aot", "mojo_ops"):
    add = getattr(torch.ops, namespace).add
    for size in (3, (1 << 20) + 1):
        values = torch.ones(size)
        for _ in range(3):
            try:
                add(values, values)
            except RuntimeError as error:
                assert "add: an odd number of elements" in str(error), error
            else:
                raise SystemExit(f"{namespace}: no error for {size} elements")
            assert torch.equal(add(values[1:], values[1:]), 2 * values[1:])
"""


@pytest.mark.full
@pytest.mark.skipif("mojo" not in all_routes(), reason="MAX is not installed")
def test_what_a_kernel_raises_reaches_the_caller(tmp_path: Path) -> None:
    """Builds a copy of `add` whose kernel raises for an odd number of elements."""
    ignore_build_outputs = shutil.ignore_patterns("build", "*.so", "artifacts", "__pycache__", "*.egg-info")
    package = Path(shutil.copytree(ROOT / "mojo_ops", tmp_path / "mojo_ops", ignore=ignore_build_outputs))
    kernel = package / "kernels/add.mojo"
    text = kernel.read_text()
    assert text.count(BEGIN) == 1
    kernel.write_text(text.replace(BEGIN, BEGIN + RAISE))
    path = {"PYTHONPATH": os.pathsep.join((str(package / "src"), str(ROOT)))}
    for target in ("aot", "cpu"):
        command = [sys.executable, "-m", "mojo_ops.build", "--target", target, "--ops", "add"]
        command += ["--out", str(package / "src/mojo_ops/artifacts")]
        build = subprocess.run(
            command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=False
        )
        assert build.returncode == 0, build.stdout + build.stderr
    child = run_child(CALLS, 60, env=path)
    assert child.code == 0, child
