"""Compiles the GPU sources and inspects the compilers' output, on a machine without a GPU.

`test_emulation.py` compiles every source of both sides for sm_90 and emulates it; the tests of PTX in this module read
the same output. `--all` adds other targets for a few ops, and `nox -s targets` builds all ops for still more targets.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from shared_tests.conftest import REPRESENTATIVE
from shared_tests.emulator import cuda_build, toolkit
from shared_tests.spec import all_specs


@pytest.mark.full
@pytest.mark.parametrize(
    ("compiler", "target", "ops", "proof"),
    [
        ("nvcc", "sm_80", REPRESENTATIVE, "cubin"),
        ("nvcc", "sm_100", REPRESENTATIVE, "cubin"),
        ("hipcc", "gfx90a", (*REPRESENTATIVE, "attention"), "code object"),
    ],
    ids=["CUDA", "newer CUDA", "HIP"],
)
def test_gpu_sources_compile(compiler: str, target: str, ops: tuple[str, ...], proof: str, tmp_path: Path) -> None:
    """The .cu files of `ops` compile to objects with machine code; for HIP after PyTorch's translation.

    `nox -s targets` compiles all ops for all targets.
    """
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on PATH")
    options = ["--sides", "cpp", "--ops", ",".join(ops), "--targets", target, "--pack", str(tmp_path / "pack")]
    command = [sys.executable, "-m", "evidence", "targets", *options]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    rows = json.loads(gzip.decompress((tmp_path / "pack" / "pack.json.gz").read_bytes()))["targets"]["rows"]
    assert {row["target"] for row in rows} == {target}
    for row in rows:
        assert row["status"] == "built", row
        assert proof in row["proof"]


MEMORY_BOUND = sorted(set(all_specs()) - {"attention", "linear_w8"})
ACCESS = re.compile(r"\b(ld|st)\.global\.(?:[a-uw-z]\w*\.)*(?:v(\d)\.)?[bfsu](\d+)\s[^;]*?\[(%rd\d+)(?:\+(-?\d+))?\]")
WIDE = 16  # in bytes: the widest access of a thread

COMPILED = [("cpp", op) for op in MEMORY_BOUND]
each_memory_bound_op = pytest.mark.parametrize("op", MEMORY_BOUND)


@functools.cache
def kernels_of(op: str) -> dict[str, str]:
    """Names and PTX of the kernels in an op's CUDA source, from the build for the emulator."""
    try:
        text = (cuda_build.build(op) / cuda_build.KERNELS).read_text()
    except toolkit.ToolkitError as missing:
        pytest.skip(str(missing))
    return dict(re.findall(r"\.entry (\S+?)(\(.*?\n\}\n)", text, re.DOTALL))


def accesses(kernel: str) -> dict[tuple[str, str], set[tuple[int, int]]]:
    """First and last byte of each access to global memory, by `ld` or `st` and the register with the address."""
    ranges: dict[tuple[str, str], set[tuple[int, int]]] = defaultdict(set)
    for instruction, count, bits, register, offset in ACCESS.findall(kernel):
        first = int(offset or 0)
        ranges[instruction, register].add((first, first + int(count or 1) * int(bits) // 8))
    return ranges


def adjoining_bytes(ranges: set[tuple[int, int]]) -> int:
    """The length of the longest adjoining range that consists of several narrow accesses."""
    longest = begin = end = 0
    for first, last in sorted(r for r in ranges if r[1] - r[0] < WIDE):
        begin, end = (begin, max(end, last)) if first <= end else (first, last)
        longest = max(longest, end - begin)
    return longest


@each_memory_bound_op
def test_memory_bound_cuda_kernels_move_16_bytes_at_once(op: str, compiled: None) -> None:
    """A kernel for every dtype loads 16 bytes at once, and the compiler does not split packs into narrower accesses."""
    kernels = kernels_of(op)
    wide_loads = 0
    for name, kernel in kernels.items():
        ranges = accesses(kernel)
        for place, of_place in ranges.items():
            assert adjoining_bytes(of_place) < WIDE, f"{name}: {place}, {sorted(of_place)}"
        wide_loads += any(last - first == WIDE for (i, _), r in ranges.items() if i == "ld" for first, last in r)
    assert wide_loads >= len(all_specs()[op].dtypes), kernels.keys()


@each_memory_bound_op
def test_cuda_kernels_round_two_values_to_bfloat16_at_once(op: str, compiled: None) -> None:
    """A kernel that stores packs of bfloat16 uses the instruction that rounds two values."""
    for name, kernel in kernels_of(op).items():
        stores_packs = any(i == "st" and (0, WIDE) in r for (i, _), r in accesses(kernel).items())
        if "BF16" in name and stores_packs:
            assert "cvt.rn.bf16x2.f32" in kernel, name


@each_memory_bound_op
def test_cuda_kernels_state_their_largest_block(op: str, compiled: None) -> None:
    """Without `__launch_bounds__`, ptxas may use more registers than a block of 1,024 threads has."""
    for name, kernel in kernels_of(op).items():
        assert ".maxntid" in kernel, name


@pytest.mark.full
def test_mojo_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """MAX compiles the graphs of several ops into one MEF for an NVIDIA target, through a virtual device.

    Compiles one op of each kind, because the emulator compiles all GPU kernels; `nox -s targets` compiles all graphs.
    """
    options = ["--ops", ",".join(REPRESENTATIVE), "--target", "cuda:sm_90", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "mojo_ops.build", *options]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    mef = next(tmp_path.glob("cuda*.mef"))
    assert b"sm_90" in mef.read_bytes()
