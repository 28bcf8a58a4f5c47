"""GPU sources compile for their targets on a machine without a GPU; whether they run is for a machine that has one.

`nox -s targets` builds for more.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

from shared_tests.spec import all_specs


@pytest.mark.parametrize(
    ("compiler", "targets", "proof"),
    [("nvcc", "sm_80,sm_90,sm_100", "cubin"), ("hipcc", "gfx90a", "code object")],
    ids=["CUDA", "HIP"],
)
def test_gpu_sources_compile(compiler: str, targets: str, proof: str, tmp_path: Path) -> None:
    """Every .cu for each target, HIP's in PyTorch's translation, and machine code for each is inside."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on PATH")
    options = ["--sides", "cpp", "--targets", targets, "--pack", str(tmp_path / "pack")]
    command = [sys.executable, "-m", "evidence", "targets", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(gzip.decompress((tmp_path / "pack" / "pack.json.gz").read_bytes()))["targets"]["rows"]
    assert {row["target"] for row in rows} == set(targets.split(","))
    for row in rows:
        assert row["status"] == "built", row
        assert proof in row["proof"]


CSRC = Path(__file__).resolve().parent.parent / "cpp_ext/csrc"
MEMORY_BOUND = sorted({path.stem for path in (CSRC / "cuda").glob("*.cu")} - {"attention", "linear_w8"})
ACCESS = re.compile(r"\b(ld|st)\.global\.(?:[a-uw-z]\w*\.)*(?:v(\d)\.)?[bfsu](\d+)\s[^;]*?\[(%rd\d+)(?:\+(-?\d+))?\]")
WIDE = 16  # bytes of the widest access of one thread

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
each_memory_bound_op = pytest.mark.parametrize("op", MEMORY_BOUND)


@functools.cache
def kernels_of(op: str) -> dict[str, str]:
    """Names and PTX for sm_90 of the kernels in an op's CUDA source."""
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder) / "kernel.ptx"
        command = ["nvcc", "-std=c++20", "-O3", f"-I{CSRC}", "-arch=sm_90", "-ptx", "-o", str(ptx)]
        subprocess.run([*command, str(CSRC / "cuda" / f"{op}.cu")], capture_output=True, timeout=300, check=True)
        text = ptx.read_text()
    return dict(re.findall(r"\.entry (\S+?)(\(.*?\n\}\n)", text, re.DOTALL))


def accesses(kernel: str) -> dict[tuple[str, str], set[tuple[int, int]]]:
    """First and last byte of each access to global memory, by `ld` or `st` and the register with the address."""
    ranges: dict[tuple[str, str], set[tuple[int, int]]] = defaultdict(set)
    for instruction, count, bits, register, offset in ACCESS.findall(kernel):
        first = int(offset or 0)
        ranges[instruction, register].add((first, first + int(count or 1) * int(bits) // 8))
    return ranges


def adjoining_bytes(ranges: set[tuple[int, int]]) -> int:
    """The length of the longest stretch that consists of several narrow accesses."""
    longest = begin = end = 0
    for first, last in sorted(r for r in ranges if r[1] - r[0] < WIDE):
        begin, end = (begin, max(end, last)) if first <= end else (first, last)
        longest = max(longest, end - begin)
    return longest


@needs_nvcc
@each_memory_bound_op
def test_memory_bound_cuda_kernels_move_16_bytes_at_once(op: str) -> None:
    """In every dtype a kernel loads 16 bytes at once, and the compiler split no pack into narrower accesses."""
    kernels = kernels_of(op)
    wide_loads = 0
    for name, kernel in kernels.items():
        ranges = accesses(kernel)
        for place, of_place in ranges.items():
            assert adjoining_bytes(of_place) < WIDE, f"{name}: {place}, {sorted(of_place)}"
        wide_loads += any(last - first == WIDE for (i, _), r in ranges.items() if i == "ld" for first, last in r)
    assert wide_loads >= len(all_specs()[op].dtypes), kernels.keys()


@needs_nvcc
@each_memory_bound_op
def test_cuda_kernels_round_two_values_to_bfloat16_at_once(op: str) -> None:
    """A kernel that stores packs of bfloat16 rounds by the instruction for two values."""
    for name, kernel in kernels_of(op).items():
        stores_packs = any(i == "st" and (0, WIDE) in r for (i, _), r in accesses(kernel).items())
        if "BF16" in name and stores_packs:
            assert "cvt.rn.bf16x2.f32" in kernel, name


@needs_nvcc
@each_memory_bound_op
def test_cuda_kernels_state_their_largest_block(op: str) -> None:
    """Without `__launch_bounds__`, ptxas may use more registers than a block of 1,024 threads has."""
    for name, kernel in kernels_of(op).items():
        assert ".maxntid" in kernel, name


def test_mojo_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """The whole catalogue into one MEF for an NVIDIA target, through a virtual device: its code is inside."""
    command = [sys.executable, "-m", "mojo_ops.build", "--target", "cuda:sm_90", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    mef = next(tmp_path.glob("cuda*.mef"))
    assert b"sm_90" in mef.read_bytes()
