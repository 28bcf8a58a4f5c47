"""ld and st."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.problems import Unsupported
from shared_tests.emulator.ptx import Address, Symbol
from shared_tests.emulator.values import TYPES, UNSIGNED

SPACE = "[.global .shared .shared::cta .local .const .param .param::entry]"
WRITABLE = "[.global .shared .shared::cta .local]"
# Hints to the caches, which change no value.
FIRST_LEVEL = "[.L1::evict_normal .L1::evict_unchanged .L1::evict_first .L1::evict_last .L1::no_allocate]"
SECOND_LEVEL = "[.L2::evict_last .L2::evict_normal .L2::evict_first] [.L2::cache_hint] [.L2::64B .L2::128B .L2::256B]"
TYPE = "[.v2 .v4 .v8] <.b8 .u8 .s8 .b16 .u16 .s16 .b32 .u32 .s32 .f32 .b64 .u64 .s64 .f64>"
SCOPE = "<.cta .cluster .gpu .sys>"


def space_of(operands: Operands) -> str:
    """The state space that the opcode names, `generic` if it names none."""
    spaces = {"global", "shared", "local", "const", "param"}
    return next((part.split("::")[0] for part in operands.modifiers if part.split("::")[0] in spaces), "generic")


def is_strong(operands: Operands) -> bool:
    """Whether the access is exempt from the search for races."""
    return bool({"volatile", "relaxed", "acquire", "release"} & set(operands.modifiers))


def is_ordering(operands: Operands) -> bool:
    """Whether the access orders others beyond its block."""
    return bool({"acquire", "release", "acq_rel"} & set(operands.modifiers)) and "cta" not in operands.modifiers


@instruction(
    f"ld [.weak] {SPACE} [.ca .cg .cs .lu .cv] {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
    f"ld .global [.ca .cg .cs] .nc {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
    f"ld .volatile {SPACE} {TYPE}",
    f"ld <.relaxed .acquire> {SCOPE} {SPACE} {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
)
def ld(operands: Operands) -> Step:
    space, operand = space_of(operands), operands[1]
    if space == "param" and isinstance(operand, Address) and isinstance(operand.base, Symbol):
        return _parameter(operands, operand.base.offset + operand.offset, operand.base.name)
    address = operands.address(1)
    targets = operands.targets(0, operands.kind)
    dtype = TYPES[operands.kind].dtype
    size = TYPES[operands.kind].width // 8
    position = operands.position
    tracked = not is_strong(operands)
    ordering = is_ordering(operands)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        values = chunk.requests.load(
            position, lanes, space, address(chunk), size, len(targets), tracked=tracked, counted=tracked
        )
        for write, value in zip(targets, values, strict=True):
            write(chunk, lanes, value.view(dtype))

    return step


def _parameter(operands: Operands, offset: int, name: str) -> Step:
    """Loads from an address in the parameters that all lanes share: a scalar."""
    offset += operands.names.symbols[name].offset
    targets, kind = operands.targets(0, operands.kind), TYPES[operands.kind]
    end = offset + kind.width // 8 * len(targets)
    if not 0 <= offset <= end <= operands.names.parameter_bytes:
        raise Unsupported("outside the parameters")

    def step(chunk: Chunk, lanes: Lanes) -> None:
        for write, value in zip(targets, chunk.param[offset:end].view(kind.dtype), strict=True):
            write(chunk, lanes, value)

    return step


@instruction(
    f"st [.weak] {WRITABLE} [.wb .cg .cs .wt] {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
    f"st .volatile {WRITABLE} {TYPE}",
    f"st <.relaxed .release> {SCOPE} {WRITABLE} {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
)
def st(operands: Operands) -> Step:
    space, address = space_of(operands), operands.address(0)
    width = TYPES[operands.kind].width
    sources = operands.sources(1, f"b{width}")
    dtype = UNSIGNED[width]
    position = operands.position
    tracked = not is_strong(operands)
    ordering = is_ordering(operands)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        values = [np.asarray(source(chunk)).view(dtype) for source in sources]
        chunk.requests.store(
            position, lanes, space, address(chunk), values, width // 8, tracked=tracked, counted=tracked
        )

    return step
