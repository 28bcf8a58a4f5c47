"""Launches a kernel on emulated memory."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared_tests.emulator import ptx
from shared_tests.emulator.chunk import UNINITIALISED, Chunk
from shared_tests.emulator.counters import Counters
from shared_tests.emulator.instructions.copies import finish
from shared_tests.emulator.lanes import WARP
from shared_tests.emulator.memory import Memory
from shared_tests.emulator.problems import EmulationError, Problem, Problems
from shared_tests.emulator.program import aligned, compiled
from shared_tests.emulator.requests import COUNTS, GlobalMemory, Requests
from shared_tests.emulator.schedule import Scheduler
from shared_tests.emulator.special import Shape, SpecialRegisters, Threads

__all__ = ["EmulationError", "Launch", "Memory", "Problem", "Report"]

LANES = 4096  # lanes in lock step: enough to outweigh the cost of a NumPy call, few enough to stay in the cache
MOST_THREADS, MOST_BLOCKS = 1024, (2**31 - 1, 65535, 65535)


@dataclass(frozen=True)
class Report:
    """What the checks found, and the counters."""

    problems: tuple[Problem, ...]
    counters: Counters


def _extent(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (*values, 1, 1, 1)[:3]
    return int(x), int(y), int(z)


class Launch:
    """One launch of a kernel.

    grid, block: extents in x, y and z; missing ones are 1.
    arguments: the bytes of each parameter. A pointer is the host address of its first byte.
    memory: the buffers that the kernel may touch.
    dynamic_shared: bytes of dynamic shared memory.
    checks: look for races, uninitialised shared memory and missing waits; bounds are checked in any case.
    counters: count memory transactions.
    noise: relative error put on approximate instructions, in units of 2^-23. seed: for noise and the order of atomics.
    seconds: time limit of the launch.

    Raises EmulationError if the launch does not fit the kernel or the limits of a GPU.
    """

    def __init__(
        self,
        kernel: ptx.Kernel,
        module: ptx.Module,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[bytes],
        memory: Memory,
        dynamic_shared: int = 0,
        *,
        checks: bool = True,
        counters: bool = True,
        noise: float = 0.0,
        seed: int = 0,
        seconds: float = 300.0,
    ):
        self.shape = Shape(_extent(grid), _extent(block), dynamic_shared)
        self.program = compiled(kernel, module)
        self.memory = memory
        self.checks, self.counting, self.noise, self.seconds = checks, counters, noise, seconds
        self.random = np.random.default_rng(seed)
        self.blocks, self.threads = math.prod(self.shape.grid), math.prod(self.shape.block)
        self._check_shape(kernel)
        self.parameters = self._parameters(kernel, arguments)
        code = self.program.kernel.code
        self.problems = Problems(code)
        self.executed = [0] * len(code)
        self.counts = np.zeros((len(code), len(COUNTS)), np.int64)

    def _check_shape(self, kernel: ptx.Kernel) -> None:
        limit = min(MOST_THREADS, kernel.max_threads or MOST_THREADS)
        if not 0 < self.threads <= limit:
            raise EmulationError(f"{kernel.name}: {self.threads} threads per block, the limit is {limit}")
        extents = zip("xyz", self.shape.grid, MOST_BLOCKS, strict=True)
        for axis, extent, most in extents:
            if not 0 < extent <= most:
                raise EmulationError(f"{kernel.name}: {extent} blocks in {axis}, the limit is {most}")

    def _parameters(self, kernel: ptx.Kernel, arguments: Sequence[bytes]) -> np.ndarray:
        if [len(argument) for argument in arguments] != [parameter.size for parameter in kernel.parameters]:
            sizes = [parameter.size for parameter in kernel.parameters]
            raise EmulationError(f"{kernel.name}: arguments of {[*map(len, arguments)]} bytes, expected {sizes}")
        space = np.zeros(aligned(self.program.layout.parameters, 16), np.uint8)
        for parameter, argument in zip(kernel.parameters, arguments, strict=True):
            offset = self.program.layout.places[parameter.name].offset
            space[offset : offset + parameter.size] = np.frombuffer(argument, np.uint8)
        return space

    def run(self) -> Report:
        """Executes all blocks, in order of their numbers, as many at a time as fit into `LANES` lanes.

        Raises EmulationError where the launch cannot go on; `report` then has what was found up to there.
        """
        deadline = time.monotonic() + self.seconds
        data = self.program.layout.data
        for name, array in data.items():
            writable = self.program.layout.places[name].space == "global"
            self.memory.add(array.ctypes.data, array.nbytes, name, writable=writable)
        try:
            memory = GlobalMemory(self.memory.buffers(), self.program.cell_shift, self.checks)
        finally:
            for array in data.values():
                self.memory.remove(array.ctypes.data)
        fences = np.zeros(self.blocks, np.uint32)
        per_chunk, request_time = max(1, LANES // self.threads), 0
        with np.errstate(all="ignore"):
            for first in range(0, self.blocks, per_chunk):
                chunk = self._chunk(first, min(per_chunk, self.blocks - first), memory, fences)
                chunk.requests.time = request_time
                Scheduler(self.program.steps, chunk, self.executed, deadline).run()
                finish(chunk, lambda copies: copies.mask)
                request_time = chunk.requests.time
        return self.report

    def _chunk(self, first: int, count: int, memory: GlobalMemory, fences: np.ndarray) -> Chunk:
        block_lanes = aligned(self.threads, WARP)
        lane = np.arange(block_lanes * count)
        lane_in_block, block_of = lane % block_lanes, lane // block_lanes
        layout = self.program.layout
        requests = Requests(
            memory,
            self.problems,
            lanes=len(lane),
            block_lanes=block_lanes,
            first_block=first,
            shared=layout.shared + self.shape.dynamic_shared,
            local=layout.local,
            param=self.parameters,
            counts=self.counts,
            fence_time=fences,
            checks=self.checks,
            counters=self.counting,
        )
        return Chunk(
            size=len(lane),
            registers=[UNINITIALISED[width] for width in self.program.widths],
            special=SpecialRegisters(Threads(self.shape, block_of + first, lane_in_block)),
            requests=requests,
            param=self.parameters,
            problems=self.problems,
            alive=lane_in_block < self.threads,
            block_of=block_of,
            first_block=first,
            noise=self.noise,
            random=self.random,
            group=np.zeros(len(lane), np.int64),
        )

    @property
    def report(self) -> Report:
        """Problems and counters up to now."""
        stores = self.program.stores
        (load_sectors, least_loads), (store_sectors, least_stores) = (
            self.counts[kind, :2].sum(axis=0).tolist() for kind in (~stores, stores)
        )
        wavefronts, least_wavefronts = self.counts[:, 2:].sum(axis=0).tolist()
        lines: dict[int, int] = defaultdict(int)
        total = 0
        for line, count in zip(self.program.lines, self.executed, strict=True):
            if line is not None:
                lines[line] += count
                total += count
        counters = Counters(
            load_sectors, least_loads, store_sectors, least_stores, wavefronts, least_wavefronts, total, dict(lines)
        )
        return Report(self.problems.all(), counters)
