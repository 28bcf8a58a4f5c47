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
def mov(o: Operands) -> Step:
    if isinstance(o[0], Vector):
        return _unpack(o)
    if isinstance(o[1], Vector):
        return _pack(o)
    return calculation(o, lambda value: value, [o.read(o[1], o.bits())], o.bits())


def _unpack(o: Operands) -> Step:
    """Splits a register into parts, the lowest bits first."""
    width = TYPES[o.kind].width
    part = width // len(o.items(0))
    source = o.read(o[1], o.bits())
    targets = [o.write(item, f"b{part}") for item in o.items(0)]

    def step(chunk: Chunk, lanes: Lanes) -> None:
        value = source(chunk)
        for number, write in enumerate(targets):
            write(chunk, lanes, (value >> UNSIGNED[width](number * part)).astype(UNSIGNED[part]))

    return step


def _pack(o: Operands) -> Step:
    width = TYPES[o.kind].width
    part = width // len(o.items(1))
    sources = [o.read(item, f"b{part}") for item in o.items(1)]

    def combined(*parts: Value) -> Value:
        value = UNSIGNED[width](0)
        for number, bits in enumerate(parts):
            value = value | (bits.astype(UNSIGNED[width]) << UNSIGNED[width](number * part))
        return value

    return calculation(o, combined, sources, o.bits())


@instruction("selp <.b16 .b32 .b64 .u16 .u32 .u64 .s16 .s32 .s64 .f32 .f64>")
def selp(o: Operands) -> Step:
    sources = [o.read(o[3], "pred"), o.read(o[1], o.bits()), o.read(o[2], o.bits())]
    return calculation(o, np.where, sources, o.bits())


@instruction(f"cvta [.to] {SPACE} .u64")
def cvta(o: Operands) -> Step:
    """A generic address is that of a space plus the start of its window."""
    start = np.uint64(WINDOWS[o.modifiers[-2].split("::")[0]])
    if "to" in o.modifiers:
        return calculation(o, lambda address: address - start, [o.read(o[1], "u64")], "u64")
    return calculation(o, lambda address: address + start, [o.read(o[1], "u64")], "u64")


@instruction(f"isspacep {SPACE}")
def isspacep(o: Operands) -> Step:
    window = np.uint64(WINDOWS[o.kind.split("::")[0]] >> 60)
    return calculation(o, lambda address: address >> np.uint64(60) == window, [o.read(o[1], "u64")], "pred")


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
def hint(o: Operands) -> Step:
    return lambda chunk, lanes: None
