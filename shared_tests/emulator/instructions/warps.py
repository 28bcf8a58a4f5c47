"""Exchange between the lanes of a warp: shfl, vote, redux, activemask."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.problems import FOREIGN_SOURCE, INACTIVE_SOURCE, MISSING_LANES, OUTSIDE_MASK
from shared_tests.emulator.ptx import Pair
from shared_tests.emulator.values import Value

ALL_LANES = 0xFFFFFFFF


def require_members(chunk: Chunk, lanes: Lanes, position: int, members: Value) -> None:
    """Reports member masks that name lanes that do not execute the instruction, or leave out one that does."""
    if np.ndim(members) == 0 and members == ALL_LANES and lanes.whole_warps:
        return
    absent = np.repeat(~lanes.warp_masks, WARP) & members
    offenders = np.flatnonzero(lanes.mask & (absent != 0))
    if len(offenders):
        lane = offenders[0]
        mask, active = int(chunk.full(members)[lane]), int(lanes.warp_masks[lane // WARP])
        chunk.problems.add(MISSING_LANES, position, f"mask {mask:#x}, active {active:#x}")
    lane_bit = np.uint32(1) << (np.arange(chunk.size) % WARP).astype(np.uint32)
    if (lanes.mask & (lane_bit & members == 0)).any():
        chunk.problems.add(OUTSIDE_MASK, position)


def sources(mode: str, lane: Any, distance: Any, control: Any) -> tuple[Any, Any]:
    """The lane of the warp that each lane reads in a shuffle, int64, and whether that is in range.

    control: bits 0 to 4 are the clamp value, bits 8 to 12 the mask of the segment.
    """
    distance, clamp, segment = distance & 31, control & 31, (control >> 8) & 31
    highest, lowest = (lane & segment) | (clamp & ~segment), lane & segment
    source = {
        "bfly": lambda: lane ^ distance,
        "up": lambda: lane - distance,
        "down": lambda: lane + distance,
        "idx": lambda: lowest | (distance & ~segment),
    }[mode]()
    in_range = source >= highest if mode == "up" else source <= highest
    return np.where(in_range, source, lane), in_range


@functools.lru_cache(maxsize=1024)
def uniform_sources(mode: str, size: int, distance: int, control: int) -> tuple[Any, Any]:
    """The same for `size` lanes with one distance and control, as numbers of lanes of the chunk."""
    lanes = np.arange(size)
    source, in_range = sources(mode, lanes % WARP, np.int64(distance), np.int64(control))
    return source + lanes // WARP * WARP, in_range


@instruction("shfl .sync <.up .down .bfly .idx> .b32")
def shfl(operands: Operands) -> Step:
    """d|p = the value of another lane, and whether that lane is in range."""
    mode, target, position = operands.modifiers[1], operands[0], operands.position
    first, second = (target.first, target.second) if isinstance(target, Pair) else (target, None)
    write, write_in_range = operands.write(first, "b32"), operands.write(second, "pred") if second else None
    value = operands.source(1, "b32")
    distance, control, members = (operands.source(index, "u32") for index in (2, 3, 4))

    def step(chunk: Chunk, lanes: Lanes) -> None:
        mask = members(chunk)
        require_members(chunk, lanes, position, mask)
        distances, controls = distance(chunk), control(chunk)
        if np.ndim(distances) == 0 and np.ndim(controls) == 0:
            source, in_range = uniform_sources(mode, chunk.size, int(distances), int(controls))
        else:
            lane_numbers = np.arange(chunk.size)
            lane_source, in_range = sources(
                mode, lane_numbers % WARP, distances.astype(np.int64), controls.astype(np.int64)
            )
            source = lane_source + lane_numbers // WARP * WARP
        if not lanes.whole_warps:
            offenders = np.flatnonzero(lanes.mask & ~lanes.mask[source])
            if len(offenders):
                lane = int(offenders[0])
                chunk.problems.add(INACTIVE_SOURCE, position, f"lane {lane % WARP} reads lane {source[lane] % WARP}")
        if np.ndim(mask) or mask != ALL_LANES:
            is_member = (mask >> (source % WARP).astype(np.uint32)) & np.uint32(1)
            if (lanes.mask & (is_member == 0)).any():
                chunk.problems.add(FOREIGN_SOURCE, position)
        write(chunk, lanes, np.take(chunk.full(value(chunk)), source))
        if write_in_range:
            write_in_range(chunk, lanes, in_range)

    return step


@instruction("vote .sync .ballot .b32", "vote .sync <.any .all .uni> .pred")
def vote(operands: Operands) -> Step:
    mode, position = operands.modifiers[1], operands.position
    predicate = operands.source(1, "pred")
    members = operands.source(2, "u32")
    write = operands.target(0, operands.kind)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        mask = members(chunk)
        require_members(chunk, lanes, position, mask)
        voters = np.repeat(lanes.warp_masks, WARP) & mask
        ballot = np.repeat(np.packbits(lanes.mask & predicate(chunk), bitorder="little").view(np.uint32), WARP) & mask
        result = {"ballot": ballot, "any": ballot != 0, "all": ballot == voters}
        write(chunk, lanes, result[mode] if mode != "uni" else (ballot == 0) | (ballot == voters))

    return step


@instruction("activemask .b32")
def activemask(operands: Operands) -> Step:
    write = operands.target(0, "b32")
    return lambda chunk, lanes: write(chunk, lanes, np.repeat(lanes.warp_masks, WARP))


REDUCTIONS: dict[str, Any] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


@instruction("redux .sync <.add .min .max> <.u32 .s32>", "redux .sync <.and .or .xor> .b32")
def redux(operands: Operands) -> Step:
    """Every lane gets the reduction over the lanes of its member mask."""
    reduction, position = REDUCTIONS[operands.modifiers[1]], operands.position
    value = operands.source(1, operands.kind)
    members = operands.source(2, "u32")
    write = operands.target(0, operands.kind)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        masks, values = chunk.full(members(chunk)), chunk.full(value(chunk))
        require_members(chunk, lanes, position, masks)
        result = values
        for mask in np.unique(masks[lanes.mask]):
            group = lanes.mask & (masks == mask)
            for warp in np.unique(np.flatnonzero(group) // WARP):
                of_warp = slice(warp * WARP, (warp + 1) * WARP)
                total = reduction.reduce(values[of_warp][group[of_warp]], dtype=values.dtype)
                result = np.where(group & (np.arange(chunk.size) // WARP == warp), total, result)
        write(chunk, lanes, result)

    return step
