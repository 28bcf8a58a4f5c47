"""mma.sync, ldmatrix and stmatrix. The manual lays the fragments down ("Matrix Fragments"); kernels index into them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.instructions.loads import space_of
from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.operands import Operands, Read, Write
from shared_tests.emulator.problems import PARTIAL_WARP, EmulationError
from shared_tests.emulator.values import widen_bf16


def require_whole_warps(chunk: Chunk, lanes: Lanes, position: int) -> None:
    """Raises EmulationError if a warp is there with some of its lanes only."""
    if not lanes.whole_warps:
        raise EmulationError(chunk.problems.add(PARTIAL_WARP, position).message)


def gather(chunk: Chunk, registers: Sequence[Read]) -> Any:
    """The registers of each warp's lanes, uint32 [warps, 32, registers]."""
    words = np.empty((chunk.size, len(registers)), np.uint32)
    for number, read in enumerate(registers):
        words[:, number] = read(chunk)
    return words.reshape(-1, WARP, len(registers))


def scatter(chunk: Chunk, lanes: Lanes, registers: Sequence[Write], words: Any) -> None:
    """Writes uint32 [warps, 32, registers] back to the registers."""
    words = words.reshape(chunk.size, len(registers))
    for number, write in enumerate(registers):
        write(chunk, lanes, np.ascontiguousarray(words[:, number]))


def elements(words: Any, kind: str) -> Any:
    """The values in registers, the lowest bits first, float64 [warps, 32, values]."""
    if kind == "bf16":
        return widen_bf16(words.view(np.uint16)).astype(np.float64)
    if kind == "tf32":
        return (words & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)
    dtype: Any = {"f16": np.float16, "f32": np.float32, "s8": np.int8, "u8": np.uint8, "s32": np.int32}[kind]
    return words.view(dtype).astype(np.float64)


PER_REGISTER = {"f16": 2, "bf16": 2, "tf32": 1, "s8": 4, "u8": 4}
_LANE = np.arange(WARP)
GROUP, MEMBER = _LANE // 4, _LANE % 4  # a lane's row or column of a fragment, and its place among four
ROWS, COLUMNS = 16, 8


def _holders(shape: tuple[int, int], places: Sequence[tuple[Any, Any]]) -> Any:
    """Of each element of a matrix, which value of a warp holds it: number of the lane times values per lane + value.

    places: row and column of each of a lane's values, arrays over the lanes.
    """
    holders = np.zeros(shape, np.int64)
    for value, (row, column) in enumerate(places):
        holders[row, column] = _LANE * len(places) + value
    return holders


@functools.cache
def holders_of_a(depth: int, per: int) -> Any:
    """For the left matrix, [16, depth]; `per` values are in a register."""
    places = []
    for value in range(ROWS * depth // WARP):
        register, part = divmod(value, per)
        places.append((GROUP + 8 * (register % 2), MEMBER * per + part + register // 2 * 4 * per))
    return _holders((ROWS, depth), places)


@functools.cache
def holders_of_b(depth: int, per: int) -> Any:
    """For the right matrix, [depth, 8]."""
    places = []
    for value in range(depth * COLUMNS // WARP):
        register, part = divmod(value, per)
        places.append((MEMBER * per + part + register * 4 * per, GROUP))
    return _holders((depth, COLUMNS), places)


_ACCUMULATOR = [(GROUP + value // 2 * 8, 2 * MEMBER + value % 2) for value in range(4)]
HOLDERS_OF_C = _holders((ROWS, COLUMNS), _ACCUMULATOR)
ELEMENTS_OF_C = np.stack([row * COLUMNS + column for row, column in _ACCUMULATOR], axis=1)  # [lanes, values]


def matrices(chunk: Chunk, registers: Sequence[Read], kind: str, holders: Any) -> Any:
    """The matrix that each warp's fragment holds, float64 [warps, rows, columns]."""
    values = elements(gather(chunk, registers), kind)
    return np.take(values.reshape(len(values), -1), holders, axis=1)


@instruction(
    "mma .sync .aligned <.m16n8k8 .m16n8k16> .row .col <.f32 .f16> .f16 .f16 <.f32 .f16>",
    "mma .sync .aligned <.m16n8k8 .m16n8k16> .row .col .f32 .bf16 .bf16 .f32",
    "mma .sync .aligned .m16n8k8 .row .col .f32 .tf32 .tf32 .f32",
    "mma .sync .aligned <.m16n8k16 .m16n8k32> .row .col .s32 <.s8 .u8> <.s8 .u8> .s32",
)
def mma(operands: Operands) -> Step:
    """d = a b + c for 16 rows and 8 columns, accumulated in float64 and rounded once."""
    depth = int(operands.modifiers[2].removeprefix("m16n8k"))
    result, left, right, addend = operands.modifiers[-4:]
    writes = operands.targets(0, "b32")
    a, b, c = (operands.sources(index, "b32") for index in (1, 2, 3))
    left_holders = holders_of_a(depth, PER_REGISTER[left])
    right_holders = holders_of_b(depth, PER_REGISTER[right])
    position = operands.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        product = matrices(chunk, a, left, left_holders) @ matrices(chunk, b, right, right_holders)
        total = product + matrices(chunk, c, addend, HOLDERS_OF_C)
        stacked = np.take(total.reshape(len(total), -1), ELEMENTS_OF_C, axis=1)
        if result == "s32":
            words = stacked.astype(np.int64).astype(np.uint32)
        else:
            words = stacked.astype(np.float32 if result == "f32" else np.float16).view(np.uint32)
        scatter(chunk, lanes, writes, words)

    return step


def _rows(lanes: Lanes, count: int) -> Lanes:
    """The lanes whose addresses are the rows of `count` matrices of 8 x 8."""
    return Lanes(lanes.mask & (np.arange(len(lanes.mask)) % WARP < 8 * count), False)


@instruction("ldmatrix .sync .aligned .m8n8 <.x1 .x2 .x4> [.trans] [.shared .shared::cta] .b16")
def ldmatrix(operands: Operands) -> Step:
    """Lane 4 r + c gets elements 2 c and 2 c + 1 of row r of each matrix, of column r with .trans."""
    writes, address = operands.targets(0, "b32"), operands.address(1)
    count = len(writes)
    transposed = "trans" in operands.modifiers
    space = space_of(operands)
    position = operands.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        loaded = chunk.requests.load(position, _rows(lanes, count), space, address(chunk), 4, 4)
        words = np.ascontiguousarray(loaded.T).reshape(-1, WARP, 4)[:, : 8 * count]
        tiles = np.ascontiguousarray(words).view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            tiles = np.ascontiguousarray(tiles.swapaxes(2, 3))
        fragments = tiles.view(np.uint32).reshape(-1, count, WARP)
        scatter(chunk, lanes, writes, np.ascontiguousarray(fragments.swapaxes(1, 2)))

    return step


@instruction("stmatrix .sync .aligned .m8n8 <.x1 .x2 .x4> [.trans] [.shared .shared::cta] .b16")
def stmatrix(operands: Operands) -> Step:
    """The inverse of ldmatrix."""
    reads, address = operands.sources(1, "b32"), operands.address(0)
    count = len(reads)
    transposed = "trans" in operands.modifiers
    space = space_of(operands)
    position = operands.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        fragments = np.ascontiguousarray(gather(chunk, reads).swapaxes(1, 2))
        tiles = fragments.view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            tiles = np.ascontiguousarray(tiles.swapaxes(2, 3))
        rows = np.zeros((chunk.size // WARP, WARP, 4), np.uint32)
        rows[:, : 8 * count] = tiles.view(np.uint32).reshape(-1, 8 * count, 4)
        words = np.ascontiguousarray(rows.reshape(chunk.size, 4).T)
        chunk.requests.store(position, _rows(lanes, count), space, address(chunk), list(words), 4)

    return step
