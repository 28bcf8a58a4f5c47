"""Integer arithmetic."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.forms import Step, add, calculation, instruction, lanewise
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.values import SIGNED, TYPES, UNSIGNED, Value

INTEGER = "<.u16 .u32 .u64 .s16 .s32 .s64>"
SIGNED_INTEGER = "<.s16 .s32 .s64>"


def saturated(value: Value) -> Value:
    """int64 clamped to the range of int32."""
    limits = np.iinfo(np.int32)
    return np.clip(value, limits.min, limits.max).astype(np.int32)


def divide(dividend: Value, divisor: Value) -> Value:
    """The quotient, truncated towards zero. PTX leaves division by zero open; here it gives 0."""
    quotient = dividend // divisor
    if np.issubdtype(quotient.dtype, np.signedinteger):
        inexact = quotient * divisor != dividend
        quotient = quotient + (inexact & ((dividend < 0) != (divisor < 0)))
    return quotient


def remainder(dividend: Value, divisor: Value) -> Value:
    return dividend - divide(dividend, divisor) * divisor


def high_product(left: Value, right: Value) -> Value:
    """The upper half of the product of two integers of the same type."""
    width = left.dtype.itemsize * 8
    signed = np.issubdtype(left.dtype, np.signedinteger)
    if width < 64:
        wide = (SIGNED if signed else UNSIGNED)[64]
        return ((left.astype(wide) * right.astype(wide)) >> wide(width)).astype(left.dtype)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    a, b = left.view(np.uint64), right.view(np.uint64)
    middle = (a & low) * (b & low) >> half
    cross = (a >> half) * (b & low) + middle
    second_cross = (a & low) * (b >> half) + (cross & low)
    high = (a >> half) * (b >> half) + (cross >> half) + (second_cross >> half)
    if signed:
        high = high - np.where(left < 0, b, np.uint64(0)) - np.where(right < 0, a, np.uint64(0))
    return high.view(left.dtype)


add(f"add {INTEGER}", lanewise(np.add))
add(f"sub {INTEGER}", lanewise(np.subtract))
add("add .sat .s32", lanewise(lambda x, y: saturated(x.astype(np.int64) + y)))
add("sub .sat .s32", lanewise(lambda x, y: saturated(x.astype(np.int64) - y)))
add(f"min {INTEGER}", lanewise(np.minimum))
add(f"max {INTEGER}", lanewise(np.maximum))
add(f"div {INTEGER}", lanewise(divide))
add(f"rem {INTEGER}", lanewise(remainder))
add(f"neg {SIGNED_INTEGER}", lanewise(np.negative))
add(f"abs {SIGNED_INTEGER}", lanewise(np.abs))
add(f"mul .lo {INTEGER}", lanewise(np.multiply))
add(f"mul .hi {INTEGER}", lanewise(high_product))
add(f"mad .lo {INTEGER}", lanewise(lambda x, y, z: x * y + z))
add(f"mad .hi {INTEGER}", lanewise(lambda x, y, z: high_product(x, y) + z))


@instruction("mul .wide <.u16 .u32 .s16 .s32>", "mad .wide <.u16 .u32 .s16 .s32>")
def wide(operands: Operands) -> Step:
    """Product of twice the width, plus a third operand of that width."""
    result = f"{operands.kind[0]}{2 * TYPES[operands.kind].width}"
    dtype = TYPES[result].dtype
    sources = [operands.source(1, operands.kind), operands.source(2, operands.kind)]
    if len(operands) == 3:
        return calculation(operands, lambda x, y: x.astype(dtype) * y.astype(dtype), sources, result)
    sources.append(operands.source(3, result))
    return calculation(operands, lambda x, y, z: x.astype(dtype) * y.astype(dtype) + z, sources, result)


@instruction("dp4a <.s32 .u32> <.s32 .u32>")
def dp4a(operands: Operands) -> Step:
    """Adds the products of the four bytes of two registers to a third one."""
    dtypes = [np.int8 if kind == "s32" else np.uint8 for kind in operands.modifiers]

    def byte(word: Value, number: int, dtype: type) -> Value:
        return (word >> np.uint32(8 * number)).astype(np.uint8).view(dtype).astype(np.int64)

    def total(x: Value, y: Value, z: Value) -> Value:
        products = (byte(x, index, dtypes[0]) * byte(y, index, dtypes[1]) for index in range(4))
        return (z.astype(np.int64) + sum(products)).astype(np.uint32)

    return calculation(
        operands, total, [operands.read(operand, "b32") for operand in operands.instruction.operands[1:]], "b32"
    )
