"""The emulated CUDA runtime behaves like a device of its kind. A probe in a copy of an op's source queries it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from shared_tests.emulator import toolkit
from shared_tests.emulator.cuda_build import CSRC
from shared_tests.emulator.cuda_host import CudaHost
from shared_tests.emulator.launches import LaunchError
from shared_tests.emulator.resources import INVALID_CONFIGURATION, INVALID_VALUE
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.spec import all_specs

OP = "grayscale"
NOT_SUPPORTED = 801  # cudaErrorNotSupported

KERNEL = """
namespace {
__global__ void __launch_bounds__(512) probe_kernel(float* x) {
  extern __shared__ float dynamic[];
  __shared__ float fixed[32];
  dynamic[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < 32) fixed[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = fixed[31 - threadIdx.x % 32] + dynamic[blockDim.x - 1 - threadIdx.x];
}
}  // namespace
"""
PROBE = """
  std::string answers;
  const auto answer = [&](const char* name, long value) { answers += name + ("=" + std::to_string(value)) + ";"; };
  int value = 0;
  cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0);
  answer("major", value);
  cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
  answer("optin", value);
  cudaFuncAttributes facts;
  cudaFuncGetAttributes(&facts, probe_kernel);
  answer("threads", facts.maxThreadsPerBlock);
  answer("static", facts.sharedSizeBytes);
  answer("dynamic before", facts.maxDynamicSharedSizeBytes);
  const auto set = [&](int bytes) {
    return cudaFuncSetAttribute(probe_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  answer("launch before", (probe_kernel<<<1, 32, 64 * 1024>>>(nullptr), cudaGetLastError()));
  answer("set 120 KiB", set(120 * 1024));
  answer("set 64 KiB", set(64 * 1024));
  answer("reset", cudaGetLastError() * 0);
  cudaFuncGetAttributes(&facts, probe_kernel);
  answer("dynamic after", facts.maxDynamicSharedSizeBytes);
  answer("launch of no blocks", (probe_kernel<<<0, 32>>>(nullptr), cudaGetLastError()));
  answer("launch beyond the bound", (probe_kernel<<<1, 1024>>>(nullptr), cudaGetLastError()));
  answer("error is read once", cudaGetLastError());
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&value, probe_kernel, 512, 41 * 1024);
  answer("blocks", value);
  float* x;
  cudaMallocAsync(&x, 64 * sizeof(float), nullptr);
  cudaMemsetAsync(x, 0, 64 * sizeof(float), nullptr);
  const float one = 1;
  cudaMemcpyAsync(x, &one, sizeof one, cudaMemcpyHostToDevice, nullptr);
  answer("launch", (probe_kernel<<<1, 64, 64 * sizeof(float)>>>(x), cudaGetLastError()));
  answer("first", x[0] * 10);
  answer("last", x[63] * 10);
  answer("sum", 10 * std::accumulate(x, x + 64, 0.0f));
  cudaFreeAsync(x, nullptr);
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {2, 1, 1};
  const cudaLaunchConfig_t config{dim3(2), dim3(32), 0, nullptr, &cluster, 1};
  answer("cluster", cudaLaunchKernelEx(&config, probe_kernel, x));
  throw std::runtime_error(answers);
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with a probe in the op that queries the runtime and raises the results."""
    try:
        toolkit.find()
    except ToolkitError as missing:
        pytest.skip(str(missing))
    csrc = Path(shutil.copytree(CSRC, tmp_path_factory.mktemp("probe") / "csrc"))
    file = csrc / "cuda" / f"{OP}.cu"
    text, count = re.subn(r"(static void run\(const Args& args\) \{)", f"{KERNEL}\\n\\1{PROBE}", file.read_text())
    assert count == 1
    file.write_text(f"#include <numeric>\n{text}")
    return csrc


def answers(csrc: Path, target: str) -> dict[str, int]:
    """The results of the probe's queries on one device."""
    image = torch.zeros(1, 1, 3, dtype=torch.uint8)
    with pytest.raises(LaunchError) as error_info:
        CudaHost(target, csrc).call(all_specs()[OP], (image,), [torch.zeros(1, 1, dtype=torch.uint8)])
    return {name: int(value) for name, value in re.findall(r"([^=;]+)=(-?\d+);", str(error_info.value))}


@pytest.mark.parametrize(("target", "opted_in", "blocks"), [("sm_80", 0, 3), ("sm_89", INVALID_VALUE, 2)])
def test_the_runtime_answers_as_the_device(
    probe: Path, monkeypatch: pytest.MonkeyPatch, target: str, opted_in: int, blocks: int
) -> None:
    """An A100 has 163 KiB of shared memory per block, and an L40S has 99. They hold 3 and 2 blocks of 42 KiB.

    The kernel reverses both arrays, so a single 1 at the front gives one in the middle and two at the end.
    """
    monkeypatch.setenv("EMULATOR_CACHE", str(toolkit.cache_folder() / "planted"))
    assert answers(probe, target) == {
        "major": 8,
        "optin": 163 * 1024 if target == "sm_80" else 99 * 1024,
        "threads": 512,
        "static": 128,
        "dynamic before": 48 * 1024 - 128,
        "launch before": INVALID_VALUE,
        "set 120 KiB": opted_in,
        "set 64 KiB": 0,
        "reset": 0,
        "dynamic after": 64 * 1024,
        "launch of no blocks": INVALID_CONFIGURATION,
        "launch beyond the bound": INVALID_VALUE,
        "error is read once": 0,
        "blocks": blocks,
        "launch": 0,
        "first": 0,
        "last": 20,
        "sum": 30,
        "cluster": NOT_SUPPORTED,
    }
