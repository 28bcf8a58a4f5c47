"""mov, selp, cvta, isspacep, and hints that change no value."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, calculation, instruction
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.ptx import Vector
from shared_tests.emulator.requests import WINDOWS
from shared_tests.emulator.values import TYPES, UNSIGNED, Value

ANY = "<.pred .b16 .b32 .b64 .u16 .u32 .u64 .s16 .s32 .s64 .f32 .f64>"
SPACE = "<.global .shared .shared::cta .local .const .param .param::entry>"


@instruction(f"mov {ANY}")
def mov(operands: Operands) -> Step:
    if isinstance(operands[0], Vector):
        return _unpack(operands)
    if isinstance(operands[1], Vector):
        return _pack(operands)
    return calculation(operands, lambda value: value, [operands.source(1, operands.bits())], operands.bits())


def _unpack(operands: Operands) -> Step:
    """Splits a register into parts, the lowest bits first."""
    width = TYPES[operands.kind].width
    part = width // len(operands.items(0))
    source = operands.source(1, operands.bits())
    targets = operands.targets(0, f"b{part}")

    def step(chunk: Chunk, lanes: Lanes) -> None:
        value = source(chunk)
        for number, write in enumerate(targets):
            write(chunk, lanes, (value >> UNSIGNED[width](number * part)).astype(UNSIGNED[part]))

    return step


def _pack(operands: Operands) -> Step:
    width = TYPES[operands.kind].width
    part = width // len(operands.items(1))
    sources = operands.sources(1, f"b{part}")

    def combined(*parts: Value) -> Value:
        value = UNSIGNED[width](0)
        for number, bits in enumerate(parts):
            value = value | (bits.astype(UNSIGNED[width]) << UNSIGNED[width](number * part))
        return value

    return calculation(operands, combined, sources, operands.bits())


@instruction("selp <.b16 .b32 .b64 .u16 .u32 .u64 .s16 .s32 .s64 .f32 .f64>")
def selp(operands: Operands) -> Step:
    sources = [
        operands.source(3, "pred"),
        operands.source(1, operands.bits()),
        operands.source(2, operands.bits()),
    ]
    return calculation(operands, np.where, sources, operands.bits())


@instruction(f"cvta [.to] {SPACE} .u64")
def cvta(operands: Operands) -> Step:
    """A generic address is that of a space plus the start of its window."""
    start = np.uint64(WINDOWS[operands.modifiers[-2].split("::")[0]])
    if "to" in operands.modifiers:
        return calculation(operands, lambda address: address - start, [operands.source(1, "u64")], "u64")
    return calculation(operands, lambda address: address + start, [operands.source(1, "u64")], "u64")


@instruction(f"isspacep {SPACE}")
def isspacep(operands: Operands) -> Step:
    window = np.uint64(WINDOWS[operands.kind.split("::")[0]] >> 60)
    return calculation(
        operands, lambda address: address >> np.uint64(60) == window, [operands.source(1, "u64")], "pred"
    )


@instruction(
    "prefetch [.global .local] <.L1 .L2>",
    "prefetch .global <.L2::evict_last .L2::evict_normal>",
    "createpolicy .fractional <.L2::evict_last .L2::evict_normal .L2::evict_first .L2::evict_unchanged> .b64",
    "setmaxnreg <.inc .dec> .sync .aligned .u32",
    "prefetchu .L1",
    "nanosleep .u32",
    "applypriority [.global] .L2::evict_normal",
    "griddepcontrol <.launch_dependents .wait>",
    "pmevent",
)
def hint(operands: Operands) -> Step:
    return lambda chunk, lanes: None
