"""The state of the blocks that are executed in lock step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.problems import Problems
from shared_tests.emulator.requests import Requests
from shared_tests.emulator.special import SpecialRegisters
from shared_tests.emulator.values import UNDEFINED, UNSIGNED, Value

# Registers that were never written, by width in bits: not zero, so that a missing initialisation shows in the values.
UNINITIALISED: dict[int, Value] = {
    1: np.bool_(False),
    **{width: dtype(int.from_bytes(bytes([UNDEFINED] * (width // 8)), "little")) for width, dtype in UNSIGNED.items()},
}


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
    special: SpecialRegisters
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
        if not lanes.is_whole:
            value = np.where(lanes.mask, value, self.registers[register].view(value.dtype))
        self.registers[register] = value

    def fence(self, lanes: Lanes) -> None:
        """A fence of device scope: what these lanes' blocks wrote is visible to others that fence as well."""
        blocks = np.unique(self.block_of[lanes.mask]) + self.first_block
        self.requests.fence_time[blocks] = self.requests.time
