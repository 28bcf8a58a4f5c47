"""Compares occupancy and refused launches with NVIDIA's calculator, the toolkit's header `cuda_occupancy.h`."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from shared_tests.emulator import toolkit
from shared_tests.emulator.devices import DEVICES, RESERVED_SHARED, STATIC_SHARED, Device
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.resources import (
    INVALID_CONFIGURATION,
    INVALID_VALUE,
    OUT_OF_RESOURCES,
    Resources,
    launch_refusal,
    max_threads,
    occupancy,
    parse,
    resident_blocks,
    resources,
)
from shared_tests.emulator.toolkit import ToolkitError

REGISTERS = (0, 16, 24, 32, 33, 40, 56, 64, 65, 72, 96, 128, 168, 255)
THREADS = (1, 32, 33, 64, 96, 128, 160, 256, 384, 512, 640, 768, 1024)
SHARED = ((0, 0), (128, 0), (1000, 5000), (33000, 0), (0, 48 * 1024), (256, 96 * 1024))  # (static, dynamic) bytes

CALCULATOR = """
#include <cstdio>
#include <cuda_occupancy.h>
int main() {
  long major, minor, threads_sm, shared_sm, reserved, registers, threads, fixed, dynamic;
  while (scanf("%ld %ld %ld %ld %ld %ld %ld %ld %ld", &major, &minor, &threads_sm, &shared_sm, &reserved, &registers,
               &threads, &fixed, &dynamic) == 9) {
    cudaOccDeviceProp device{};
    device.computeMajor = major; device.computeMinor = minor; device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = threads_sm; device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32; device.sharedMemPerBlock = 48 * 1024; device.sharedMemPerMultiprocessor = shared_sm;
    device.numSms = 1; device.sharedMemPerBlockOptin = shared_sm - reserved;
    device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes kernel{};
    kernel.maxThreadsPerBlock = 1024; kernel.numRegs = registers; kernel.sharedSizeBytes = fixed;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN; kernel.maxDynamicSharedSizeBytes = dynamic;
    cudaOccDeviceState state{};
    cudaOccResult result{};
    const int error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, dynamic);
    printf("%d\\n", error ? -error : result.activeBlocksPerMultiprocessor);
  }
}
"""


def kernel(registers: int, static_shared: int = 0, bound: int | None = None) -> Resources:
    return Resources(registers, 0, 0, static_shared, bound)


def launch(threads: int, grid: tuple[int, int, int] = (1, 1, 1), dynamic_shared: int = 0) -> Launched:
    return Launched("kernel", grid, (threads, 1, 1), dynamic_shared, None, "", 0.0)


@pytest.fixture(scope="module")
def nvcc() -> str:
    try:
        return toolkit.find().nvcc
    except ToolkitError as missing:
        pytest.skip(str(missing))


def test_occupancy_is_that_of_nvidias_calculator(nvcc: str, tmp_path: Path) -> None:
    """Occupancy equals the calculator's for every device and for launches around each limit."""
    (tmp_path / "calculator.cpp").write_text(CALCULATOR)
    build = [nvcc, "-x", "c++", "calculator.cpp", "-o", "calculator", "-cudart", "none"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    cases = [
        (device, registers, threads, fixed, dynamic)
        for device, registers, threads, (fixed, dynamic) in itertools.product(
            DEVICES.values(), REGISTERS, THREADS, SHARED
        )
        if fixed + dynamic <= device.block_shared
    ]
    lines = [
        f"{d.capability[0]} {d.capability[1]} {d.threads} {d.shared} {RESERVED_SHARED} {r} {t} {s} {m}"
        for d, r, t, s, m in cases
    ]
    command = [str(tmp_path / "calculator")]
    output = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True).stdout
    calculator_blocks = list(map(int, output.split()))
    computed_blocks = [resident_blocks(kernel(r, s), t, m, d) for d, r, t, s, m in cases]
    assert len(calculator_blocks) == len(cases)
    assert dict(zip(cases, computed_blocks, strict=True)) == dict(zip(cases, calculator_blocks, strict=True))
    is_refused = [launch_refusal(kernel(r, s), launch(t, dynamic_shared=m), d) is not None for d, r, t, s, m in cases]
    assert is_refused == [count == 0 for count in calculator_blocks]


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_refusals_name_the_limit(device: Device) -> None:
    """Launches beyond each limit have the right error and reason, and launches at the limit are accepted."""
    largest = device.block_shared
    for needs, call, error, reason in (
        (kernel(64), launch(1024), None, ""),
        (kernel(65), launch(1024), OUT_OF_RESOURCES, "1024 threads of 65 registers take 73728, a block gets 65536"),
        (kernel(32), launch(1025), INVALID_CONFIGURATION, "1025 threads in a block, 1024 are allowed"),
        (kernel(32, bound=256), launch(256), None, ""),
        (kernel(32, bound=256), launch(512), INVALID_VALUE, "the kernel's bound is 256"),
        (kernel(32), launch(32, (1, 65535, 65535)), None, ""),
        (kernel(32), launch(32, (1, 65536, 1)), INVALID_CONFIGURATION, "65536 blocks in y"),
        (kernel(32), launch(32, (0, 1, 1)), INVALID_CONFIGURATION, "0 blocks in x"),
        (kernel(32, STATIC_SHARED), launch(32, dynamic_shared=largest - STATIC_SHARED), None, ""),
        (kernel(32, 1), launch(32, dynamic_shared=largest), INVALID_VALUE, f"{largest + 1} bytes of shared memory"),
    ):
        refusal = launch_refusal(needs, call, device)
        assert (refusal.error if refusal else None) == error, (needs, call)
        assert refusal is None or reason in refusal.reason


def test_occupancy_is_a_share_of_all_warps() -> None:
    """With 64 registers per thread, one block of 32 warps fits, where multiprocessors can hold 64 and 48 warps."""
    assert occupancy(kernel(64), launch(1024), DEVICES["sm_90"]) == 0.5
    assert occupancy(kernel(64), launch(1024), DEVICES["sm_89"]) == pytest.approx(2 / 3)
    assert occupancy(kernel(65), launch(1024), DEVICES["sm_90"]) == 0


def test_figures_are_read_from_ptxas(nvcc: str, tmp_path: Path) -> None:
    """Kernels with a launch bound, spills and shared memory, compiled for every target."""
    (tmp_path / "kernels.cu").write_text(
        "__global__ void __launch_bounds__(1024) spilling(double* x) {\n"
        "  double v[48];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 48; ++i) v[i] = x[i * 1024 + threadIdx.x];\n"
        "  double sum = 0;\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 48; ++i) sum += v[i];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 48; ++i) x[(47 - i) * 1024 + threadIdx.x] = v[i] * sum;\n"
        "}\n"
        "__global__ void sharing(float* x) {\n"
        "  __shared__ float s[100];\n"
        "  s[threadIdx.x] = x[threadIdx.x];\n"
        "  __syncthreads();\n"
        "  x[threadIdx.x] = s[99 - threadIdx.x];\n"
        "}\n"
    )
    command = [nvcc, "-ptx", "kernels.cu", "-o", "kernels.ptx", "-arch=sm_80"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    text = (tmp_path / "kernels.ptx").read_text()
    names = {"spilling": "_Z8spillingPd", "sharing": "_Z7sharingPf"}
    assert max_threads(text) == {names["spilling"]: 1024}
    for target in toolkit.find().targets:
        kernels = resources(text, target)
        assert set(kernels) == set(names.values())
        spilling, sharing = kernels[names["spilling"]], kernels[names["sharing"]]
        assert spilling.registers <= 64
        assert spilling.spill_stores >= 8
        assert spilling.spill_loads >= 8
        assert spilling.max_threads == 1024
        assert (sharing.static_shared, sharing.spill_stores, sharing.max_threads) == (400, 0, None)


def test_an_unreadable_log_has_no_kernels() -> None:
    assert parse("ptxas info    : 0 bytes gmem\n", {}) == {}


def test_ptx_for_another_architecture_is_refused(nvcc: str) -> None:
    """PTX for sm_90a can be assembled only for sm_90a."""
    text = ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{\nret;\n}\n"
    assert resources(text, "sm_90")["k"].registers >= 0
    with pytest.raises(ToolkitError, match="ptxas for sm_80"):
        resources(text, "sm_80")
