"""Registers, spills and shared memory of compiled kernels, and the launches that a GPU would refuse for them.

ptxas computes the figures for each target, so they are those of the machine code that a GPU runs. The rules of
occupancy are those of `cuda_occupancy.h`, a header of the CUDA toolkit.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared_tests.emulator import toolkit
from shared_tests.emulator.devices import MAX_GRID, MAX_THREADS_PER_BLOCK, REGISTERS, RESERVED_SHARED, Device
from shared_tests.emulator.launches import Launched

WARP = 32
PARTITIONS = 4  # of a multiprocessor; each has its own registers and warps
REGISTER_UNIT = 256  # registers that a warp is allotted at once
SHARED_UNIT = 128  # bytes of shared memory that a block is allotted at once

INVALID_VALUE, INVALID_CONFIGURATION, OUT_OF_RESOURCES = 1, 9, 701  # cudaError_t


@dataclass(frozen=True)
class Resources:
    """What one kernel needs on one target.

    registers: of a thread.
    spill_stores, spill_loads: bytes of a thread that registers could not hold.
    static_shared: bytes of a block.
    max_threads: of a block, by `__launch_bounds__` or its like; None where the kernel names no bound.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    static_shared: int
    max_threads: int | None


@dataclass(frozen=True)
class Refusal:
    """Why a launch fails: the cudaError_t and the reason in one sentence."""

    error: int
    reason: str


_ENTRY = re.compile(
    r"Compiling entry function '(?P<kernel>[^']+)' for '\w+'(?:.*\n)*?"
    r".*?(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\n"
    r".*?Used (?P<registers>\d+) registers(?P<rest>.*)"
)
_BOUND = re.compile(r"\.entry\s+([\w$]+)\s*\([^)]*\)([^{]*)\{")
_THREADS = re.compile(r"\.(?:maxntid|reqntid)\s+([\d\s,]+)")


def max_threads(ptx: str) -> dict[str, int]:
    """The launch bound of each kernel that names one, in threads of a block."""
    bounds = {}
    for kernel, directives in _BOUND.findall(ptx):
        if match := _THREADS.search(directives):
            threads = 1
            for size in match[1].split(","):
                threads *= int(size)
            bounds[kernel] = threads
    return bounds


def parse(log: str, bounds: dict[str, int]) -> dict[str, Resources]:
    """The kernels in the output of `ptxas -v`."""
    kernels = {}
    for entry in _ENTRY.finditer(log):
        shared = re.search(r"(\d+) bytes smem", entry["rest"])
        kernels[entry["kernel"]] = Resources(
            int(entry["registers"]),
            int(entry["stores"]),
            int(entry["loads"]),
            int(shared[1]) if shared else 0,
            bounds.get(entry["kernel"]),
        )
    return kernels


@functools.lru_cache(maxsize=512)
def resources(ptx: str, target: str) -> dict[str, Resources]:
    """What each kernel of a PTX module needs on `target`, by the kernel's name; kept by content in the cache folder.

    Raises:
        ToolkitError: there is no ptxas, or it does not assemble this text for the target (PTX for sm_90a is for no
            other architecture).
    """
    tools = toolkit.find()
    key = hashlib.sha256("\0".join((tools.version, target, ptx)).encode()).hexdigest()[:32]
    log = toolkit.cache_folder() / "ptxas" / f"{key}.log"
    if not log.exists():
        write_atomically(log, _assemble(tools, ptx, target))
    return parse(log.read_text(), max_threads(ptx))


def _assemble(tools: toolkit.Toolkit, ptx: str, target: str) -> str:
    """What `ptxas -v` prints. A text for an architecture with features of its own, sm_90a, is assembled for that."""
    declared_target = re.search(r"^\.target\s+(sm_\w+)", ptx, re.M)
    architecture = declared_target[1] if declared_target and declared_target[1].rstrip("af") == target else target
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.ptx")
        source.write_text(ptx)
        command = [tools.ptxas, f"-arch={architecture}", "-O3", "-v", str(source), "-o", str(Path(folder, "cubin"))]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise toolkit.ToolkitError(f"ptxas for {target}: {toolkit.first_error(process.stderr)}")
    return process.stdout + process.stderr


def write_atomically(path: Path, text: str) -> None:
    """Write a file of the cache at once, so that another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def round_up(value: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-value // unit) * unit


def warps_of(threads: int) -> int:
    """Warps of a block."""
    return -(-threads // WARP)


def registers_of_warp(kernel: Resources) -> int:
    """Registers that a warp is allotted."""
    return round_up(kernel.registers * WARP, REGISTER_UNIT)


def launch_refusal(kernel: Resources, launch: Launched, device: Device) -> Refusal | None:
    """Why `device` refuses the launch, None where it takes it.

    Whether the kernel asked for more than 48 KiB of shared memory is known to the runtime, which checks that itself.
    """
    threads = launch.threads
    if not 0 < threads <= MAX_THREADS_PER_BLOCK:
        return Refusal(INVALID_CONFIGURATION, f"{threads} threads in a block, {MAX_THREADS_PER_BLOCK} are allowed")
    for axis, blocks, most in zip("xyz", launch.grid, MAX_GRID, strict=True):
        if not 0 < blocks <= most:
            return Refusal(INVALID_CONFIGURATION, f"{blocks} blocks in {axis}, {most} are allowed")
    if kernel.max_threads is not None and threads > kernel.max_threads:
        return Refusal(INVALID_VALUE, f"{threads} threads in a block, the kernel's bound is {kernel.max_threads}")
    shared = kernel.static_shared + launch.dynamic_shared
    if shared > device.block_shared:
        return Refusal(INVALID_VALUE, f"{shared} bytes of shared memory in a block, {device.block_shared} are allowed")
    # The hardware checks as if each of its four partitions got the same number of warps.
    registers = registers_of_warp(kernel) * round_up(warps_of(threads), PARTITIONS)
    if registers > REGISTERS:
        return Refusal(
            OUT_OF_RESOURCES,
            f"{threads} threads of {kernel.registers} registers take {registers}, a block gets {REGISTERS}",
        )
    return None


def resident_blocks(kernel: Resources, threads: int, dynamic_shared: int, device: Device) -> int:
    """Blocks that a multiprocessor holds at once; 0 where not even one fits."""
    warps = warps_of(threads)
    registers = registers_of_warp(kernel)
    if registers * round_up(warps, PARTITIONS) > REGISTERS:
        return 0
    shared = round_up(kernel.static_shared + dynamic_shared + RESERVED_SHARED, SHARED_UNIT)
    by_registers = REGISTERS // PARTITIONS // registers * PARTITIONS // warps if registers else device.blocks
    return min(device.blocks, device.threads // WARP // warps, device.shared // shared, by_registers)


def occupancy(kernel: Resources, launch: Launched, device: Device) -> float:
    """Resident warps as a share of those that a multiprocessor can hold, 0 to 1."""
    blocks = resident_blocks(kernel, launch.threads, launch.dynamic_shared, device)
    return blocks * warps_of(launch.threads) / (device.threads // WARP)
