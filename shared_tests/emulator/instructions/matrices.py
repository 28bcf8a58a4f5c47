"""mma.sync, ldmatrix and stmatrix. The manual lays the fragments down ("Matrix Fragments"); kernels index into them."""

from __future__ import annotations

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
    words = np.stack([chunk.full(read(chunk)) for read in registers], axis=-1)
    return np.ascontiguousarray(words).reshape(-1, WARP, len(registers))


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


@instruction(
    "mma .sync .aligned <.m16n8k8 .m16n8k16> .row .col <.f32 .f16> .f16 .f16 <.f32 .f16>",
    "mma .sync .aligned <.m16n8k8 .m16n8k16> .row .col .f32 .bf16 .bf16 .f32",
    "mma .sync .aligned .m16n8k8 .row .col .f32 .tf32 .tf32 .f32",
    "mma .sync .aligned <.m16n8k16 .m16n8k32> .row .col .s32 <.s8 .u8> <.s8 .u8> .s32",
)
def mma(o: Operands) -> Step:
    """d = a b + c for 16 rows and 8 columns, accumulated in float64 and rounded once."""
    depth = int(o.modifiers[2].removeprefix("m16n8k"))
    result, left, right, addend = o.modifiers[-4:]
    writes = [o.write(item, "b32") for item in o.items(0)]
    a, b, c = ([o.read(item, "b32") for item in o.items(at)] for at in (1, 2, 3))
    per, position = PER_REGISTER[left], o.position
    half = 4 * per  # rows of four lanes hold that many values of one register

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        x, y, z = (
            elements(gather(chunk, a), left),
            elements(gather(chunk, b), right),
            elements(gather(chunk, c), addend),
        )
        warps = len(x)
        rows, columns, sums = np.zeros((warps, 16, depth)), np.zeros((warps, depth, 8)), np.zeros((warps, 16, 8))
        for value in range(x.shape[2]):
            register, part = divmod(value, per)
            rows[:, GROUP + 8 * (register & 1), MEMBER * per + part + (register >> 1) * half] = x[:, :, value]
        for value in range(y.shape[2]):
            register, part = divmod(value, per)
            columns[:, MEMBER * per + part + register * half, GROUP] = y[:, :, value]
        for value in range(4):
            sums[:, GROUP + 8 * (value >> 1), 2 * MEMBER + (value & 1)] = z[:, :, value]
        product = rows @ columns + sums
        values = [product[:, GROUP + 8 * (value >> 1), 2 * MEMBER + (value & 1)] for value in range(4)]
        stacked = np.stack(values, axis=2)
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
def ldmatrix(o: Operands) -> Step:
    """Lane 4 r + c gets elements 2 c and 2 c + 1 of row r of each matrix, of column r with .trans."""
    writes, address = [o.write(item, "b32") for item in o.items(0)], o.address(1)
    count, transposed, space, position = len(writes), "trans" in o.modifiers, space_of(o), o.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        loaded = chunk.requests.load(position, _rows(lanes, count), space, address(chunk), 4, 4)
        words = np.ascontiguousarray(loaded.T).reshape(-1, WARP, 4)[:, : 8 * count]
        matrices = np.ascontiguousarray(words).view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            matrices = np.ascontiguousarray(matrices.swapaxes(2, 3))
        fragments = matrices.view(np.uint32).reshape(-1, count, WARP)
        scatter(chunk, lanes, writes, np.ascontiguousarray(fragments.swapaxes(1, 2)))

    return step


@instruction("stmatrix .sync .aligned .m8n8 <.x1 .x2 .x4> [.trans] [.shared .shared::cta] .b16")
def stmatrix(o: Operands) -> Step:
    """The inverse of ldmatrix."""
    reads, address = [o.read(item, "b32") for item in o.items(1)], o.address(0)
    count, transposed, space, position = len(reads), "trans" in o.modifiers, space_of(o), o.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        require_whole_warps(chunk, lanes, position)
        fragments = np.ascontiguousarray(gather(chunk, reads).swapaxes(1, 2))
        matrices = fragments.view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            matrices = np.ascontiguousarray(matrices.swapaxes(2, 3))
        rows = np.zeros((chunk.size // WARP, WARP, 4), np.uint32)
        rows[:, : 8 * count] = matrices.view(np.uint32).reshape(-1, 8 * count, 4)
        words = np.ascontiguousarray(rows.reshape(chunk.size, 4).T)
        chunk.requests.store(position, _rows(lanes, count), space, address(chunk), list(words), 4)

    return step
