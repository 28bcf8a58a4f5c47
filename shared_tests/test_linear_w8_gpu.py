"""Tests what linear_w8 reads on an emulated GPU, and from how many rows it uses the library's product."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from shared_tests import accuracy
from shared_tests.emulator import toolkit
from shared_tests.emulator.apart import MojoHostApart
from shared_tests.emulator.cuda_host import CSRC, CudaHost
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.machine import Report
from shared_tests.emulator.mojo_bindings import KERNELS
from shared_tests.ops.linear_w8 import SPEC, call

pytestmark = pytest.mark.usefixtures("compiled")

SECTOR = 32  # bytes
SIDES = ("cpp", "mojo")
COMPILED = [(side, "linear_w8") for side in SIDES]
# The constant of each side for the number of weight bytes that are widened at a time.
CHUNKS = {
    "cpp": (CSRC, "cuda/linear_w8.cu", r"kChunkBytes = 32 << 20;", "kChunkBytes = 1 << 16;"),
    "mojo": (KERNELS, "common/gpu_w8.mojo", r"CHUNK_BYTES = 32 << 20\b", "CHUNK_BYTES = 1 << 16"),
}


def host(side: str, sources: Path | None = None) -> CudaHost | MojoHostApart:
    """The host of a side, by default for its own sources."""
    if side == "cpp":
        if "sm_90" not in toolkit.find().targets:
            pytest.skip("there is no CUDA toolkit for sm_90")
        return CudaHost(csrc=sources or CSRC)
    return MojoHostApart(kernels=sources or KERNELS)


def launches(runner: CudaHost | MojoHostApart, args: tuple) -> tuple[Launched, ...]:
    """Calls the op, checks its result, and returns its kernel launches."""
    reference = accuracy.expected(SPEC, args)
    output = torch.full_like(reference.eager[0], float("nan"))
    executed = runner.call(SPEC, args, [output])
    assert accuracy.mismatch(SPEC, reference, output) is None
    assert not [problem for launch in executed for problem in report(launch).problems]
    return executed


def report(launch: Launched) -> Report:
    """The emulator's report of a launch."""
    assert launch.report is not None
    return launch.report


@pytest.mark.parametrize("side", SIDES)
def test_up_to_15_rows_are_one_pass_that_reads_x_once_a_block(side: str) -> None:
    """Reads the weight once and x once per block, with the fewest sectors except for scales and row ends."""
    runner = host(side)
    for rows in (1, 8, 15):
        x, weight, scales, bias = call((rows,), 2048, 32, torch.bfloat16, "cpu", bias=False)
        (launch,) = launches(runner, (x, weight, scales, bias))
        blocks = launch.grid[0]
        data = (weight.numel() + blocks * x.numel() * x.element_size()) // SECTOR
        assert data <= report(launch).counters.load_sectors <= 1.01 * data + blocks * rows
        assert blocks < weight.shape[0]


@pytest.mark.parametrize("side", SIDES)
def test_from_16_rows_on_the_weight_is_widened_and_multiplied_by_the_library(side: str) -> None:
    """Widening and finishing move the fewest sectors; the product between them is a library call."""
    runner = host(side)
    args = call((16,), 512, 32, torch.float16, "cpu")
    widen, finish = launches(runner, args)
    assert ("widen" in widen.kernel, "finish" in finish.kernel) == (True, True)
    for launch in (widen, finish):
        counters = report(launch).counters
        assert counters.load_sectors == counters.least_load_sectors
        assert counters.store_sectors == counters.least_store_sectors


@pytest.mark.parametrize("side", SIDES)
def test_a_large_weight_is_widened_in_chunks(side: str, tmp_path: Path) -> None:
    """Uses chunks of 64 KiB instead of 32 MiB, so that a small weight has three of them."""
    folder, name, constant, smaller = CHUNKS[side]
    sources = Path(shutil.copytree(folder, tmp_path / "sources"))
    text, count = re.subn(constant, smaller, (sources / name).read_text())
    assert count == 1
    (sources / name).write_text(text)
    executed = launches(host(side, sources), call((17,), 100, 301, torch.float32, "cpu"))
    assert sum("widen" in launch.kernel for launch in executed) == 3
