"""wmma for 16 x 16 x 16. The manual leaves the layout of fragments open, so they are only good for wmma here.

A fragment holds the lines of a matrix as they are in memory: rows, or columns of a matrix stored by columns. With as
many elements per lane as half a line, lane 2 i + h has half h of line i; with a whole line, lanes i and i + 16 have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.instructions.loads import space_of
from shared_tests.emulator.instructions.matrices import elements, gather, require_whole_warps, scatter
from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.operands import Operands, Read
from shared_tests.emulator.problems import WMMA_POINTER, WMMA_STRIDE
from shared_tests.emulator.values import SIZES

SIDE = 16
SPACE = "[.global .shared .shared::cta]"


def line_and_start(size: int, per_lane: int) -> tuple[Any, Any]:
    """Of each lane: its line of the matrix, and its first element of the line."""
    lane = np.arange(size) % WARP
    if per_lane == SIDE:
        return lane % SIDE, np.zeros_like(lane)
    return lane // 2, lane % 2 * per_lane


class Fragment:
    """The addresses of a fragment's elements.

    by_lines: whether the elements of a line follow each other in memory. An accumulator has rows as its lines whatever
    its layout in memory.
    """

    def __init__(self, operands: Operands, address: int, stride: int, registers: int):
        self.position, self.space = operands.position, space_of(operands)
        self.address, self.stride = operands.address(address), operands.source(stride, "u32")
        self.element = SIZES[operands.kind]
        self.per_lane = registers * 4 // self.element
        self.by_lines = "row" in operands.modifiers or operands.kind != "f32"

    def places(self, chunk: Chunk, lanes: Lanes) -> list[Any]:
        """The addresses of each 16 bytes, or of each element where these are apart."""
        base, stride = chunk.full(self.address(chunk)), chunk.full(self.stride(chunk)).astype(np.int64)
        if (base[lanes.mask] % np.uint64(32)).any():
            chunk.problems.add(WMMA_POINTER, self.position)
        if (stride[lanes.mask] * self.element % 16).any():
            chunk.problems.add(WMMA_STRIDE, self.position)
        line, start = line_and_start(chunk.size, self.per_lane)
        step = 16 // self.element if self.by_lines else 1
        offsets = range(0, self.per_lane, step)
        if self.by_lines:
            elements = [line * stride + start + offset for offset in offsets]
        else:
            elements = [(start + offset) * stride + line for offset in offsets]
        return [base + (element * self.element).astype(np.uint64) for element in elements]

    @property
    def words(self) -> int:
        """Registers per address."""
        return 4 if self.by_lines else 1


@instruction(
    f"wmma .load <.a .b> .sync .aligned <.row .col> .m16n16k16 {SPACE} <.f16 .bf16>",
    f"wmma .load .c .sync .aligned <.row .col> .m16n16k16 {SPACE} .f32",
)
def load(operands: Operands) -> Step:
    writes = operands.targets(0, "b32")
    fragment = Fragment(operands, 1, 2, len(writes))

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, fragment.position)
        targets = iter(writes)
        for place in fragment.places(chunk, lanes):
            loaded = chunk.requests.load(
                fragment.position, lanes, fragment.space, place, 4, fragment.words, counted=False
            )
            for word in loaded:
                next(targets)(chunk, lanes, word)

    return step


@instruction(f"wmma .store .d .sync .aligned <.row .col> .m16n16k16 {SPACE} .f32")
def store(operands: Operands) -> Step:
    reads = operands.sources(1, "b32")
    fragment = Fragment(operands, 0, 2, len(reads))

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, fragment.position)
        for number, place in enumerate(fragment.places(chunk, lanes)):
            words = [read(chunk) for read in reads[number * fragment.words : (number + 1) * fragment.words]]
            chunk.requests.store(fragment.position, lanes, fragment.space, place, words, 4, counted=False)

    return step


def matrix(chunk: Chunk, registers: list[Read], kind: str, order: str) -> Any:
    """The matrix of each warp, float64 [warps, 16, 16]."""
    values = elements(gather(chunk, registers), kind)
    lines = values[:, :SIDE] if values.shape[2] == SIDE else values.reshape(-1, SIDE, SIDE)
    return lines if order == "row" else lines.swapaxes(1, 2)


@instruction(
    "wmma .mma .sync .aligned <.row .col> <.row .col> .m16n16k16 .f32 .f32",
    "wmma .mma .sync .aligned <.row .col> <.row .col> .m16n16k16 .f32 .bf16 .bf16 .f32",
)
def mma(operands: Operands) -> Step:
    """d = a b + c, accumulated in float64 and rounded once."""
    kind, (left, right), position = (
        "bf16" if "bf16" in operands.modifiers else "f16",
        operands.modifiers[3:5],
        operands.position,
    )
    writes = operands.targets(0, "b32")
    a, b, c = (operands.sources(index, "b32") for index in (1, 2, 3))

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        product = matrix(chunk, a, kind, left) @ matrix(chunk, b, kind, right) + matrix(chunk, c, "f32", "row")
        scatter(chunk, lanes, writes, product.astype(np.float32).reshape(-1, WARP, len(writes)).view(np.uint32))

    return step
