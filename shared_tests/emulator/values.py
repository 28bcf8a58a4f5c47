"""Values of PTX types as NumPy arrays: one element per lane, or a scalar where all lanes have the same value.

A register holds an array of any dtype of its width. Reading it decodes the bits as the instruction's type: bfloat16
widens to float32, and packed types get a leading axis of length 2, the lower half first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from shared_tests.emulator.ptx import SIZES

Value: TypeAlias = Any  # np.ndarray or a NumPy scalar

UNSIGNED: dict[int, Any] = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SIGNED: dict[int, Any] = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}
FLOAT: dict[int, Any] = {16: np.float16, 32: np.float32, 64: np.float64}
BF16_NAN = 0x7FFF
# Each byte of what nothing has written: NaN in every floating-point type, which no tolerance takes for a result.
UNDEFINED = 0xFF


@dataclass(frozen=True)
class Type:
    """A PTX type. `width` is in bits; `dtype` is what a value decodes to."""

    name: str
    width: int
    dtype: Any
    floating: bool = False
    signed: bool = False
    packed: bool = False

    @property
    def smallest_normal(self) -> float:
        """The smallest normal number of a floating-point type."""
        return {"f16": 2.0**-14, "f64": 2.0**-1022}.get(self.name.removesuffix("x2"), 2.0**-126)

    @property
    def brain(self) -> bool:
        """Whether elements are bfloat16."""
        return self.name.startswith("bf16")


def _type(name: str) -> Type:
    width = 8 * SIZES[name]
    if name == "pred":
        return Type(name, 1, np.bool_)
    if name.startswith("bf16"):
        return Type(name, width, np.float32, floating=True, packed=name.endswith("x2"))
    if name == "f16x2":
        return Type(name, width, np.float16, floating=True, packed=True)
    if name[0] == "f":
        return Type(name, width, FLOAT[width], floating=True)
    return Type(name, width, (SIGNED if name[0] == "s" else UNSIGNED)[width], signed=name[0] == "s")


TYPES = {name: _type(name) for name in SIZES if name != "b128"}


def widen_bf16(bits: Value) -> Value:
    """float32 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def round_bf16(values: Value) -> Value:
    """bfloat16 bits of float32 or float64 values, rounded once to nearest even; NaN becomes 0x7fff."""
    values = np.asarray(values)
    if values.dtype == np.float64:
        values = _round_to_odd(values)
    bits = values.astype(np.float32, copy=False).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(BF16_NAN), rounded).astype(np.uint16)


def _round_to_odd(values: Value) -> Value:
    """float32 of float64 values; an inexact result keeps its last bit set, so that a second rounding is right."""
    nearest = values.astype(np.float32)
    restored = nearest.astype(np.float64)
    toward_zero = np.where(np.abs(restored) > np.abs(values), np.nextafter(nearest, np.float32(0)), nearest)
    inexact = np.isfinite(values) & (restored != values)
    return np.where(inexact, (toward_zero.view(np.uint32) | np.uint32(1)).view(np.float32), nearest)


def flush(values: Value, smallest_normal: float = 2.0**-126) -> Value:
    """Subnormal values become zero of the same sign (.ftz); by default those of float32 and bfloat16."""
    return np.where(np.abs(values) < smallest_normal, np.copysign(values.dtype.type(0), values), values)


def decode(register: Value, kind: Type) -> Value:
    """What a register's bits mean as `kind`; a register of another width is truncated or extended with zeros."""
    if kind.width == 1:
        return register
    if register.dtype.itemsize * 8 != kind.width:
        register = register.view(UNSIGNED[register.dtype.itemsize * 8]).astype(UNSIGNED[kind.width])
    if kind.packed:
        register = np.atleast_1d(register).view(np.uint32)
        halves = np.stack([register.astype(np.uint16), (register >> np.uint32(16)).astype(np.uint16)])
        return widen_bf16(halves) if kind.brain else halves.view(np.float16)
    if kind.brain:
        return widen_bf16(register.view(np.uint16))
    return register.view(kind.dtype)


def encode(value: Value, kind: Type, width: int) -> Value:
    """The register contents of a value; integers extend by their sign or by zeros to a register's `width` in bits."""
    if kind.width == 1:
        return value
    if kind.packed:
        halves = round_bf16(value) if kind.brain else np.asarray(value).astype(np.float16).view(np.uint16)
        words = halves[0].astype(np.uint32) | (halves[1].astype(np.uint32) << np.uint32(16))
        return words[0] if len(words) == 1 else words  # a chunk has more than one lane
    if kind.brain:
        value = round_bf16(value)
    elif value.dtype != kind.dtype:
        value = value.astype(kind.dtype)
    if kind.width != width:
        if not kind.signed:
            return value.view(UNSIGNED[kind.width]).astype(UNSIGNED[width])
        return value.astype(SIGNED[width])
    return value


def immediate(text: str, kind: Type) -> Value:
    """The register bits of a literal, as a NumPy scalar."""
    if kind.width == 1:
        return np.bool_(int(text, 0) != 0)
    if text[:2] in ("0f", "0F", "0d", "0D"):
        bits, width = int(text[2:], 16), 32 if text[1] in "fF" else 64
        if kind.floating and width != kind.width:
            return kind.dtype(UNSIGNED[width](bits).view(FLOAT[width])).view(UNSIGNED[kind.width])
        return UNSIGNED[width](bits)
    if "." in text and kind.floating:
        return kind.dtype(float(text)).view(UNSIGNED[kind.width])
    return UNSIGNED[kind.width](int(text.rstrip("U"), 0) % (1 << kind.width))
