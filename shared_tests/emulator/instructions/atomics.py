"""atom and red: the lanes one after the other in a random order, since every order is legal."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.instructions.loads import is_ordering, space_of
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.requests import OPERATIONS
from shared_tests.emulator.values import TYPES, decode, encode

ORDER = "[.relaxed .acquire .release .acq_rel] [.cta .cluster .gpu .sys] [.global .shared .shared::cta]"
VALUES = (
    "<.and .or .xor> <.b32 .b64>",
    ".add <.u32 .s32 .u64 .s64 .f32 .f64>",
    "<.min .max> <.u32 .s32 .u64 .s64>",
    "<.inc .dec> .u32",
)
EXCHANGES = ("<.exch .cas> <.b32 .b64>",)
NARROW = ".add .noftz <.f16 .f16x2 .bf16 .bf16x2>"


@instruction(
    *(f"atom {ORDER} {form}" for form in (*VALUES, *EXCHANGES)),
    *(f"red {ORDER} {form}" for form in VALUES),
)
def atomic(operands: Operands) -> Step:
    returns = operands.instruction.opcode.startswith("atom.")
    address, values = operands.address(int(returns)), operands.instruction.operands[1 + returns :]
    kind, operation = operands.kind, operands.modifier_among(*OPERATIONS)
    sources = [operands.read(value, kind) for value in values]
    write = operands.target(0, kind) if returns else None
    space = space_of(operands)
    ordering = is_ordering(operands)
    position = operands.position
    dtype = TYPES[operands.kind].dtype

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        order = chunk.random.permutation(lanes.indices)
        inputs = [np.asarray(source(chunk)) for source in sources]
        old = chunk.requests.atomic(position, lanes, space, address(chunk), operation, kind, inputs, order)
        if write:
            write(chunk, lanes, old.view(dtype))

    return step


@instruction(f"atom {ORDER} {NARROW}", f"red {ORDER} {NARROW}")
def narrow_add(operands: Operands) -> Step:
    """Sums of 16-bit floats, as a load and a store of each lane."""
    returns = operands.instruction.opcode.startswith("atom.")
    address, source = operands.address(int(returns)), operands.source(1 + returns, operands.kind)
    kind = TYPES[operands.kind]
    bits = f"b{kind.width}"
    write = operands.target(0, bits) if returns else None
    space, ordering, position = space_of(operands), is_ordering(operands), operands.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        if ordering:
            chunk.fence(lanes)
        addresses, addend = address(chunk), source(chunk)
        result = np.zeros(chunk.size, TYPES[bits].dtype)
        for lane in chunk.random.permutation(lanes.indices):
            single_lane = Lanes(np.arange(chunk.size) == lane, False, 1)
            old = chunk.requests.load(
                position, single_lane, space, addresses, kind.width // 8, 1, tracked=False, counted=False
            )[0]
            total = encode(decode(old, kind) + addend, kind, kind.width)
            chunk.requests.store(
                position, single_lane, space, addresses, [total], kind.width // 8, tracked=False, counted=False
            )
            result[lane] = old[lane]
        if write:
            write(chunk, lanes, result)

    return step
