"""Rounds exact fractions to a floating-point format, as a reference for emulated arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Format:
    """A floating-point format.

    precision: bits of the significand, including the leading one.
    least, most: exponents of the smallest and largest normal numbers.
    """

    precision: int
    least: int
    most: int


FORMATS = {
    "f16": Format(11, -14, 15),
    "bf16": Format(8, -126, 127),
    "f32": Format(24, -126, 127),
    "f64": Format(53, -1022, 1023),
}


def _to_integer(value: Fraction, mode: str) -> int:
    if mode == "rn":
        return round(value)  # Fraction rounds ties to even
    return math.trunc(value) if mode == "rz" else math.floor(value) if mode == "rm" else math.ceil(value)


def rounded(value: Fraction, name: str, mode: str = "rn") -> float:
    """An exact value rounded to the format `name` in a rounding mode of PTX (rn, rz, rm, rp)."""
    form = FORMATS[name]
    if value == 0:
        return 0.0
    exponent = abs(value).numerator.bit_length() - abs(value).denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    step = Fraction(2) ** (max(exponent, form.least) - form.precision + 1)
    result = step * _to_integer(value / step, mode)
    largest = (2 - Fraction(2) ** (1 - form.precision)) * Fraction(2) ** form.most
    if abs(result) > largest:
        towards_zero = mode == "rz" or (mode == "rm" and value > 0) or (mode == "rp" and value < 0)
        return math.copysign(float(largest) if towards_zero else math.inf, 1 if value > 0 else -1)
    return float(result)
