"""cvt: conversions between integers, floating-point types, and packed types."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared_tests.emulator.forms import Step, calculation, instruction
from shared_tests.emulator.instructions.floating import modified, saturate
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.values import TYPES, Type, Value, flush

INTEGER = "<.u8 .u16 .u32 .u64 .s8 .s16 .s32 .s64>"
TO_INTEGER: dict[str, Callable[[Value], Value]] = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def sources(operands: Operands) -> tuple[Type, Type]:
    """Types of the destination and the source."""
    return TYPES[operands.modifiers[-2]], TYPES[operands.kind]


def conversion(operands: Operands, convert: Callable[[Value], Value]) -> Step:
    target, source = sources(operands)
    if "ftz" in operands.modifiers and source.name == "f32":
        inner = convert

        def convert(value: Value) -> Value:
            return inner(flush(value))

    return calculation(operands, convert, [operands.source(1, source.name)], target.name)


def clamped(value: Value, target: Type) -> Value:
    """Integers clamped to the range of another integer type."""
    limits = np.iinfo(target.dtype)
    source_limits = np.iinfo(value.dtype)
    low, high = max(limits.min, source_limits.min), min(limits.max, source_limits.max)
    return np.clip(value, value.dtype.type(low), value.dtype.type(high)).astype(target.dtype)


@instruction(f"cvt [.sat] {INTEGER} {INTEGER}")
def integer_to_integer(operands: Operands) -> Step:
    target, _ = sources(operands)
    if "sat" in operands.modifiers:
        return conversion(operands, lambda value: clamped(value, target))
    return conversion(operands, lambda value: value.astype(target.dtype))


@instruction(f"cvt <.rni .rzi .rmi .rpi> [.ftz] [.sat] {INTEGER} <.f32 .f16 .f64 .bf16>")
def float_to_integer(operands: Operands) -> Step:
    """Values out of range become the nearest that there is, and NaN becomes 0."""
    target, _ = sources(operands)
    round_to_integer, limits = TO_INTEGER[operands.modifiers[0]], np.iinfo(target.dtype)
    upper_bound = 2.0 ** (target.width - target.signed)  # exact in float64, unlike the largest 64-bit integer

    def convert(value: Value) -> Value:
        exact = round_to_integer(value.astype(np.float64))
        clipped = np.where(np.isnan(exact) | (exact >= upper_bound), 0, np.maximum(exact, limits.min))
        return np.where(exact >= upper_bound, target.dtype(limits.max), clipped.astype(target.dtype))

    return conversion(operands, convert)


@instruction(f"cvt .rn [.sat] <.f32 .f64 .f16> {INTEGER}", "cvt .rn .bf16 <.u8 .u16 .u32 .s8 .s16 .s32>")
def integer_to_float(operands: Operands) -> Step:
    target, _ = sources(operands)
    finish = saturate if "sat" in operands.modifiers else (lambda value: value)
    exact = np.float64 if target.brain else target.dtype  # a bfloat16 is rounded when it is written
    return conversion(operands, lambda value: finish(value.astype(exact)))


@instruction(
    "cvt [.ftz] [.sat] .f32 <.f16 .bf16>",
    "cvt [.sat] .f64 <.f16 .bf16>",
    "cvt [.ftz] [.sat] .f64 .f32",
    "cvt .rn [.ftz] [.sat] .f32 .f64",
    "cvt .rn [.ftz] [.sat] .f16 <.f32 .f64>",
    "cvt .rn .f16 .bf16",
    "cvt .rn [.sat] .bf16 <.f32 .f16 .f64>",
)
def float_to_float(operands: Operands) -> Step:
    """Widening is exact; narrowing rounds to nearest even."""
    target, _ = sources(operands)
    finish = saturate if "sat" in operands.modifiers else (lambda value: value)
    if "ftz" in operands.modifiers and target.name == "f32":
        return conversion(operands, lambda value: flush(finish(value.astype(np.float32))))
    if target.brain:
        return conversion(operands, finish)
    return conversion(operands, lambda value: finish(value.astype(target.dtype)))


@instruction("cvt [.rni .rzi .rmi .rpi] [.ftz] [.sat] .f32 .f32", "cvt [.rni .rzi .rmi .rpi] [.sat] .f64 .f64")
@instruction("cvt [.rni .rzi .rmi .rpi] [.ftz] [.sat] .f16 .f16", "cvt <.rni .rzi .rmi .rpi> .bf16 .bf16")
def float_to_itself(operands: Operands) -> Step:
    """Rounds to a whole number, or clamps to [0, 1]."""
    rounding = TO_INTEGER.get(operands.modifier_among(*TO_INTEGER), lambda value: value)
    return conversion(operands, modified(operands, rounding))


@instruction("cvt .rn <.bf16x2 .f16x2> .f32")
def pack(operands: Operands) -> Step:
    """The first source becomes the upper half."""

    def join(upper: Value, lower: Value) -> Value:
        return np.stack(np.broadcast_arrays(np.atleast_1d(lower), upper))

    return calculation(operands, join, [operands.source(1, "f32"), operands.source(2, "f32")], operands.modifiers[-2])


@instruction("cvt <.rn .rna> .tf32 .f32")
def to_tf32(operands: Operands) -> Step:
    """Keeps 10 bits of the mantissa, rounded to nearest; ties go to even, or away from zero with .rna."""
    ties_away = "rna" in operands.modifiers

    def convert(value: Value) -> Value:
        half = np.uint32(0x1000) if ties_away else np.uint32(0xFFF) + ((value >> np.uint32(13)) & np.uint32(1))
        special = (value & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
        return np.where(special, value, (value + half) & np.uint32(0xFFFFE000))

    return calculation(operands, convert, [operands.source(1, "b32")], "b32")
