"""Bits: logic, shifts, fields, permutation of bytes, counting."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.forms import Step, add, calculation, instruction, lanewise
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.values import TYPES, UNSIGNED, Value

UNTYPED = "<.pred .b16 .b32 .b64>"


def width_of(value: Value) -> int:
    return int(value.dtype.itemsize) * 8


def shift_left(value: Value, amount: Value) -> Value:
    """Shifts by the width or more give 0."""
    width = width_of(value)
    shifted = value << np.minimum(amount, width - 1).astype(value.dtype)
    return np.where(amount >= width, value.dtype.type(0), shifted)


def shift_right(value: Value, amount: Value) -> Value:
    """Shifts by the width or more give 0, or the sign of a signed value."""
    width = width_of(value)
    shifted = value >> np.minimum(amount, width - 1).astype(value.dtype)
    if np.issubdtype(value.dtype, np.signedinteger):
        return shifted
    return np.where(amount >= width, value.dtype.type(0), shifted)


def leading_zeros(value: Value) -> Value:
    width, dtype = width_of(value), value.dtype.type
    for distance in (1, 2, 4, 8, 16, 32):
        if distance < width:
            value = value | (value >> dtype(distance))
    return (width - np.bitwise_count(value).astype(np.int64)).astype(np.uint32)


def reversed_bits(value: Value) -> Value:
    width, dtype = width_of(value), value.dtype.type
    distance, all_bits = width // 2, (1 << width) - 1
    while distance:
        low = dtype(all_bits // ((1 << distance) + 1))  # every other group of `distance` bits
        value = ((value & low) << dtype(distance)) | ((value >> dtype(distance)) & low)
        distance //= 2
    return value


def field_mask(length: Value, width: int) -> Value:
    """The lowest `length` bits set, for lengths up to the width."""
    dtype = UNSIGNED[width]
    return np.where(length >= width, ~dtype(0), (dtype(1) << (length % np.uint32(width)).astype(dtype)) - dtype(1))


def insert_field(source: Value, target: Value, position: Value, length: Value) -> Value:
    """`target` with a field of it replaced by the lowest bits of `source` (bfi)."""
    width = width_of(source)
    position, length = position & np.uint32(255), length & np.uint32(255)
    mask = shift_left(field_mask(np.minimum(length, np.uint32(width)), width), position)
    return (target & ~mask) | (shift_left(source, position) & mask)


def extract_field(value: Value, position: Value, length: Value) -> Value:
    """A field of `value`, extended by zeros, or by its sign for signed types (bfe)."""
    width = width_of(value)
    bits = value.view(UNSIGNED[width])
    position, length = position & np.uint32(255), length & np.uint32(255)
    mask = field_mask(np.minimum(length, np.uint32(width)), width)
    # Bits of the field beyond the highest are copies of the sign.
    field = shift_right(value, position).view(bits.dtype)
    if not np.issubdtype(value.dtype, np.signedinteger):
        return field & mask
    sign_at = np.minimum(position + length - np.uint32(1), np.uint32(width - 1))
    negative = (length > 0) & (shift_right(bits, sign_at) & bits.dtype.type(1) != 0)
    return np.where(negative, field | ~mask, field & mask).view(value.dtype)


def permuted_bytes(low: Value, high: Value, selector: Value) -> Value:
    """Four of the eight bytes of two registers; bit 3 of a selector replicates the byte's sign (prmt)."""
    joined = low.astype(np.uint64) | (high.astype(np.uint64) << np.uint64(32))
    result: Value = np.uint32(0)
    for target in range(4):
        choice = (selector >> np.uint32(4 * target)) & np.uint32(15)
        byte = (joined >> ((choice & np.uint32(7)).astype(np.uint64) << np.uint64(3))).astype(np.uint8)
        sign = np.where(byte >> np.uint8(7), np.uint8(255), np.uint8(0))
        byte = np.where(choice & np.uint32(8), sign, byte)
        result = result | (byte.astype(np.uint32) << np.uint32(8 * target))
    return result


add(f"and {UNTYPED}", lanewise(np.bitwise_and))
add(f"or {UNTYPED}", lanewise(np.bitwise_or))
add(f"xor {UNTYPED}", lanewise(np.bitwise_xor))
add(f"not {UNTYPED}", lanewise(np.invert))
add("shl <.b16 .b32 .b64>", lanewise(shift_left, "type u32"))
add("shr <.b16 .b32 .b64 .u16 .u32 .u64 .s16 .s32 .s64>", lanewise(shift_right, "type u32"))
add("bfi <.b32 .b64>", lanewise(insert_field, "type type u32 u32"))
add("bfe <.u32 .u64 .s32 .s64>", lanewise(extract_field, "type u32 u32"))
add("prmt .b32", lanewise(permuted_bytes))
add("popc <.b32 .b64>", lanewise(lambda value: np.bitwise_count(value).astype(np.uint32), result="u32"))
add("clz <.b32 .b64>", lanewise(leading_zeros, result="u32"))
add("brev <.b32 .b64>", lanewise(reversed_bits))


@instruction("bfind [.shiftamt] <.u32 .u64 .s32 .s64>")
def bfind(operands: Operands) -> Step:
    """Position of the highest bit, for negative values of the highest zero; -1 if there is none."""
    width, signed, amount = TYPES[operands.kind].width, TYPES[operands.kind].signed, "shiftamt" in operands.modifiers

    def position(value: Value) -> Value:
        bits = (np.where(value < 0, ~value, value) if signed else value).astype(UNSIGNED[width])
        zeros = leading_zeros(bits)
        result = zeros if amount else np.uint32(width - 1) - zeros
        return np.where(bits == 0, np.uint32(0xFFFFFFFF), result)

    return calculation(operands, position, [operands.source(1, operands.kind)], "u32")


@instruction("lop3 .b32")
def lop3(operands: Operands) -> Step:
    """Any logic of three operands: bit 4 a + 2 b + c of the table is the result for these bits."""
    table = operands.constant(4)

    def result(x: Value, y: Value, z: Value) -> Value:
        value = np.uint32(0)
        for row in range(8):
            if table >> row & 1:
                value = value | ((x if row & 4 else ~x) & (y if row & 2 else ~y) & (z if row & 1 else ~z))
        return value

    return calculation(operands, result, [operands.source(index, "b32") for index in (1, 2, 3)], "b32")


@instruction("shf <.l .r> <.clamp .wrap> .b32")
def shf(operands: Operands) -> Step:
    """Shifts the 64 bits of two registers and keeps one of the halves."""
    right, wrap = "r" in operands.modifiers, "wrap" in operands.modifiers

    def shifted(low: Value, high: Value, amount: Value) -> Value:
        joined = low.astype(np.uint64) | (high.astype(np.uint64) << np.uint64(32))
        distance = (amount & np.uint32(31) if wrap else np.minimum(amount, np.uint32(32))).astype(np.uint64)
        return ((joined >> distance) if right else ((joined << distance) >> np.uint64(32))).astype(np.uint32)

    return calculation(
        operands,
        shifted,
        [operands.source(1, "b32"), operands.source(2, "b32"), operands.source(3, "u32")],
        "b32",
    )
