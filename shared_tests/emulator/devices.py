"""The GPUs that launches are checked against: limits of each compute capability.

Sources: CUDA C++ Programming Guide, “Technical Specifications per Compute Capability”; `cuda_occupancy.h` of CUDA 13
for blocks a multiprocessor; data sheets for the number of multiprocessors and the size of the second-level cache.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024

MAX_THREADS_PER_BLOCK = 1024
MAX_GRID = (2**31 - 1, 65535, 65535)
REGISTERS = 65536  # of a multiprocessor, and the most of a block
STATIC_SHARED = 48 * KIB  # what a block gets without cudaFuncSetAttribute
RESERVED_SHARED = 1 * KIB  # of every block, by the driver, from compute capability 8.0 on


@dataclass(frozen=True)
class Device:
    """A GPU that stands for its compute capability.

    target: as nvcc's -arch names it.
    shared: bytes of shared memory of a multiprocessor; a block gets at most 1 KiB less.
    """

    target: str
    name: str
    multiprocessors: int
    threads: int
    blocks: int
    shared: int
    second_level_cache: int

    @property
    def block_shared(self) -> int:
        """The most shared memory of a block, in bytes, once the kernel has asked for it."""
        return self.shared - RESERVED_SHARED

    @property
    def capability(self) -> tuple[int, int]:
        """Major and minor compute capability."""
        number = int(self.target.removeprefix("sm_"))
        return number // 10, number % 10


DEVICES = {
    device.target: device
    for device in (
        Device("sm_80", "A100", 108, 2048, 32, 164 * KIB, 40 * KIB**2),
        Device("sm_89", "L40S", 142, 1536, 24, 100 * KIB, 96 * KIB**2),
        Device("sm_90", "H100 SXM", 132, 2048, 32, 228 * KIB, 50 * KIB**2),
        Device("sm_100", "B200", 148, 2048, 32, 228 * KIB, 126 * KIB**2),
        Device("sm_120", "RTX 5090", 170, 1536, 24, 100 * KIB, 96 * KIB**2),
    )
}
EMULATED = "sm_90"  # the target whose PTX is executed


def attribute(device: Device, number: int) -> int:
    """A cudaDeviceAttr, whose numbers are the driver's too; 0 for an attribute that nothing here asks for."""
    major, minor = device.capability
    values = {
        1: MAX_THREADS_PER_BLOCK,
        2: MAX_THREADS_PER_BLOCK,
        3: MAX_THREADS_PER_BLOCK,
        4: 64,  # block dimension z
        5: MAX_GRID[0],
        6: MAX_GRID[1],
        7: MAX_GRID[2],
        8: STATIC_SHARED,
        10: 32,  # warp size
        12: REGISTERS,
        16: device.multiprocessors,
        38: device.second_level_cache,
        39: device.threads,
        75: major,
        76: minor,
        81: device.shared,
        82: REGISTERS,
        95: 1,  # cooperative launch
        97: device.block_shared,
        106: device.blocks,
        111: RESERVED_SHARED,
    }
    return values.get(number, 0)
