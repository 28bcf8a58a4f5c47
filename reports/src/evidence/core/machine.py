"""Facts about the machine, the versions and the settings that every number of the pack stands under."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cpuinfo
import psutil
import torch

from evidence.core import system, toolchain
from evidence.core.child import run_command
from evidence.core.system import System

ROOT = Path(__file__).resolve().parents[4]


def _output(*command: str) -> str | None:
    try:
        done = run_command(command, Path.cwd(), timeout=20)
    except OSError:
        return None
    return done.output.strip() if done.code == 0 else None


cpu = cache(cpuinfo.get_cpu_info)
"""What the system says of its CPU: `brand_raw`, `flags` and more, as py-cpuinfo names them."""


def cores() -> int:
    """Cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count()
    return usable or 1


def is_virtual() -> bool:
    """Whether the processor says that a hypervisor is below this system."""
    return "hypervisor" in cpu().get("flags", [])


def machine() -> dict[str, Any]:
    """What the numbers were read on. `key` identifies the kind of machine; packs of different keys are not compared."""
    flags = cpu().get("flags", [])
    facts: dict[str, Any] = {
        "cpu": cpu().get("brand_raw") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "simd": [
            f for f in ("sse4_2", "avx", "avx2", "f16c", "fma", "avx512f", "avx512_bf16", "amx_tile") if f in flags
        ],
        "torch_simd": torch.backends.cpu.get_cpu_capability(),
        "hypervisor": is_virtual(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
    identity = [facts["cpu"], facts["cores_usable"], facts["memory_gib"], facts["gpus"], facts["torch_simd"]]
    facts["key"] = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
    return facts


def compiler() -> str | None:
    """The C++ compiler that builds of this project call, or None."""
    return os.environ.get("CXX") or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)


def record() -> dict[str, dict[str, Any]]:
    """How the machine is set up, in blocks: what pyperf records as its `system`, and the software below PyTorch."""
    return system.describe(System(system.usable_cores())) | toolchain.describe(_output, compiler())


def versions() -> dict[str, Any]:
    """Versions of everything that can change a number, and the commit of this repository."""
    packages = (
        "torch",
        "modular",
        "max",
        "mojo",
        "numpy",
        "setuptools",
        "ninja",
        "pybind11",
        "pytest-benchmark",
        "nox",
    )
    facts: dict[str, Any] = {"python": sys.version.split()[0]}
    for name in packages:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = None
    cxx = compiler()
    facts["cxx"] = (_output(cxx, "--version") or "").splitlines()[:1] if cxx else None
    nvcc = shutil.which("nvcc")
    facts["nvcc"] = (_output(nvcc, "--version") or "").splitlines()[-1:] if nvcc else None
    facts["torch_cuda"], facts["torch_hip"] = torch.version.cuda, torch.version.hip
    facts["commit"] = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    status = _output("git", "-C", str(ROOT), "status", "--porcelain")
    facts["dirty"] = bool(status) if status is not None else None
    return facts


def settings(**chosen: Any) -> dict[str, Any]:
    """Thread counts, environment and the run's own choices."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CXX", "CXXFLAGS", "CPP_EXT_MARCH", "MAX_JOBS", "MODULAR_CACHE_DIR")
    return {
        "torch_threads": torch.get_num_threads(),
        "torch_interop_threads": torch.get_num_interop_threads(),
        "environment": {n: os.environ[n] for n in names if n in os.environ},
        **chosen,
    }


def short_name() -> str:
    """The machine in a folder name: its CPU and core count."""
    cpu = "".join(c if c.isalnum() else "-" for c in machine()["cpu"].lower().split("@")[0])
    cpu = "-".join(w for w in cpu.split("-") if w not in ("", "r", "tm", "cpu", "processor"))
    return f"{cpu[:30]}-{machine()['cores_usable']}c"
