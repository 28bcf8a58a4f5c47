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


def space_of(o: Operands) -> str:
    """The state space that the opcode names, `generic` if it names none."""
    spaces = {"global", "shared", "local", "const", "param"}
    return next((part.split("::")[0] for part in o.modifiers if part.split("::")[0] in spaces), "generic")


def is_strong(o: Operands) -> bool:
    """Whether the access is exempt from the search for races."""
    return bool({"volatile", "relaxed", "acquire", "release"} & set(o.modifiers))


def is_ordering(o: Operands) -> bool:
    """Whether the access orders others beyond its block."""
    return bool({"acquire", "release", "acq_rel"} & set(o.modifiers)) and "cta" not in o.modifiers


@instruction(
    f"ld [.weak] {SPACE} [.ca .cg .cs .lu .cv] {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
    f"ld .global [.ca .cg .cs] .nc {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
    f"ld .volatile {SPACE} {TYPE}",
    f"ld <.relaxed .acquire> {SCOPE} {SPACE} {FIRST_LEVEL} {SECOND_LEVEL} {TYPE}",
)
def ld(o: Operands) -> Step:
    space, operand = space_of(o), o[1]
    if space == "param" and isinstance(operand, Address) and isinstance(operand.base, Symbol):
        return _parameter(o, operand.base.offset + operand.offset, operand.base.name)
    address, targets, dtype = o.address(1), [o.write(item, o.kind) for item in o.items(0)], TYPES[o.kind].dtype
    size, position, tracked, ordering = TYPES[o.kind].width // 8, o.position, not is_strong(o), is_ordering(o)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        values = chunk.requests.load(
            position, lanes, space, address(chunk), size, len(targets), tracked=tracked, counted=tracked
        )
        for write, value in zip(targets, values, strict=True):
            write(chunk, lanes, value.view(dtype))

    return step


def _parameter(o: Operands, offset: int, name: str) -> Step:
    """Loads from an address in the parameters that all lanes share: a scalar."""
    offset += o.names.symbols[name].offset
    targets, kind = [o.write(item, o.kind) for item in o.items(0)], TYPES[o.kind]
    end = offset + kind.width // 8 * len(targets)
    if not 0 <= offset <= end <= o.names.parameter_bytes:
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
def st(o: Operands) -> Step:
    space, address = space_of(o), o.address(0)
    width = TYPES[o.kind].width
    sources = [o.read(item, f"b{width}") for item in o.items(1)]
    dtype, position, tracked, ordering = UNSIGNED[width], o.position, not is_strong(o), is_ordering(o)

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        values = [np.asarray(source(chunk)).view(dtype) for source in sources]
        chunk.requests.store(
            position, lanes, space, address(chunk), values, width // 8, tracked=tracked, counted=tracked
        )

    return step
