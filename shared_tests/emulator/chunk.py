"""The state of the blocks that are executed in lock step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.problems import Problems
from shared_tests.emulator.requests import Requests
from shared_tests.emulator.values import UNSIGNED, Value

UNINITIALISED = 0xA5  # each byte of a register that was never written


@dataclass(frozen=True)
class Shape:
    """Extents of a launch, each (x, y, z)."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int


@dataclass
class Copies:
    """An asynchronous copy of some lanes that has started and was not waited for."""

    position: int
    mask: Any
    target: Any
    source: Any
    size: int
    source_size: Any
    group: Any  # number of the group it was committed with, by lane


@dataclass
class Chunk:
    """Registers, special registers and memory of the lanes of consecutive blocks.

    registers: one value per register, an array over the lanes or a scalar; arrays are never modified in place.
    param: bytes of the parameters, uint8, padded.
    alive: bool per lane; lanes that fill up the last warp of a block never are.
    copies, group: asynchronous copies that wait, and the number of groups that each lane has committed.
    """

    size: int
    registers: list[Value]
    special: dict[str, Value]
    requests: Requests
    param: Any
    problems: Problems
    alive: Any
    block_of: Any
    first_block: int
    noise: float
    random: np.random.Generator
    copies: list[Copies] = field(default_factory=list)
    group: Any = None

    def full(self, value: Value) -> Any:
        """The value as an array over all lanes."""
        return value if np.ndim(value) else np.full(self.size, value)

    def write(self, register: int, lanes: Lanes, value: Value) -> None:
        if not lanes.whole:
            value = np.where(lanes.mask, value, self.registers[register].view(value.dtype))
        self.registers[register] = value

    def fence(self, lanes: Lanes) -> None:
        """A fence of device scope: what these lanes' blocks wrote is visible to others that fence as well."""
        blocks = np.unique(self.block_of[lanes.mask]) + self.first_block
        self.requests.fence_time[blocks] = self.requests.now


def initial_registers(widths: list[int]) -> list[Value]:
    pattern = UNINITIALISED.to_bytes(1, "little") * 8
    return [np.bool_(False) if width == 1 else np.frombuffer(pattern, UNSIGNED[width])[0] for width in widths]


def special_registers(shape: Shape, first_block: int, block_of: Any, lane_in_block: Any) -> dict[str, Value]:
    """Special registers by name, without the percent sign; those that are the same everywhere are scalars."""
    (width, height, _), (columns, rows, _) = shape.block, shape.grid
    block, lane = block_of + first_block, lane_in_block % WARP
    bit = np.uint32(1) << lane.astype(np.uint32)
    threads = int(np.prod(shape.block))
    values = {
        "tid.x": lane_in_block % width,
        "tid.y": lane_in_block // width % height,
        "tid.z": lane_in_block // (width * height),
        "ctaid.x": block % columns,
        "ctaid.y": block // columns % rows,
        "ctaid.z": block // (columns * rows),
        "laneid": lane,
        "warpid": lane_in_block // WARP,
        "nwarpid": -(-threads // WARP),
        "lanemask_eq": bit,
        "lanemask_lt": bit - np.uint32(1),
        "lanemask_le": bit | (bit - np.uint32(1)),
        "lanemask_gt": ~(bit | (bit - np.uint32(1))),
        "lanemask_ge": ~(bit - np.uint32(1)),
        "dynamic_smem_size": shape.dynamic_shared,
    }
    for axis, extent in zip("xyz", shape.block, strict=True):
        values[f"ntid.{axis}"] = extent
    for axis, extent in zip("xyz", shape.grid, strict=True):
        values[f"nctaid.{axis}"] = extent
    return {name: np.asarray(value).astype(np.uint32)[()] for name, value in values.items()}
