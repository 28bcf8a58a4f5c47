"""Special registers: which thread a lane is, of which block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared_tests.emulator.lanes import WARP
from shared_tests.emulator.values import Value


@dataclass(frozen=True)
class Shape:
    """Extents of a launch, each (x, y, z), and the bytes of dynamic shared memory."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int


@dataclass(frozen=True)
class Threads:
    """The threads of the lanes: block, thread: numbers in the grid and in the block, int64 arrays over the lanes."""

    shape: Shape
    block: Any
    thread: Any

    @property
    def bit(self) -> Any:
        """The bit of a lane in its warp's masks, uint32."""
        return np.uint32(1) << (self.thread % WARP).astype(np.uint32)


SPECIAL: dict[str, Callable[[Threads], Any]] = {
    "tid.x": lambda threads: threads.thread % threads.shape.block[0],
    "tid.y": lambda threads: threads.thread // threads.shape.block[0] % threads.shape.block[1],
    "tid.z": lambda threads: threads.thread // (threads.shape.block[0] * threads.shape.block[1]),
    "ctaid.x": lambda threads: threads.block % threads.shape.grid[0],
    "ctaid.y": lambda threads: threads.block // threads.shape.grid[0] % threads.shape.grid[1],
    "ctaid.z": lambda threads: threads.block // (threads.shape.grid[0] * threads.shape.grid[1]),
    **{f"ntid.{'xyz'[axis]}": lambda threads, axis=axis: threads.shape.block[axis] for axis in range(3)},  # type: ignore[misc]
    **{f"nctaid.{'xyz'[axis]}": lambda threads, axis=axis: threads.shape.grid[axis] for axis in range(3)},  # type: ignore[misc]
    "laneid": lambda threads: threads.thread % WARP,
    "warpid": lambda threads: threads.thread // WARP,
    "nwarpid": lambda threads: -(-int(np.prod(threads.shape.block)) // WARP),
    "lanemask_eq": lambda threads: threads.bit,
    "lanemask_lt": lambda threads: threads.bit - np.uint32(1),
    "lanemask_le": lambda threads: threads.bit | (threads.bit - np.uint32(1)),
    "lanemask_gt": lambda threads: ~(threads.bit | (threads.bit - np.uint32(1))),
    "lanemask_ge": lambda threads: ~(threads.bit - np.uint32(1)),
    "dynamic_smem_size": lambda threads: threads.shape.dynamic_shared,
}


class SpecialRegisters:
    """Special registers of a chunk by name, without the percent sign, computed when they are first read."""

    def __init__(self, threads: Threads):
        self._threads = threads
        self._values: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        """uint32; a scalar if it is the same for all lanes."""
        if name not in self._values:
            self._values[name] = np.asarray(SPECIAL[name](self._threads)).astype(np.uint32)[()]
        return self._values[name]
