"""Checks the emulator's arithmetic against exact integers and fractions, one lane per pair of operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from shared_tests.emulator.values import FLOAT, round_bf16, widen_bf16
from shared_tests.exact_rounding import rounded
from shared_tests.small_ptx import evaluate

LANES = 512
WIDTHS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}


def integers(kind: str, seed: int = 0) -> list[int]:
    """Edge cases and random values of an integer type, combined so that small values meet large ones."""
    width, generator = int(kind[1:]), np.random.default_rng(seed)
    low = -(1 << width - 1) if kind[0] == "s" else 0
    high = low + (1 << width) - 1
    edges = [value for value in (low, low + 1, -1, 0, 1, 2, 7, high - 1, high) if low <= value <= high]
    values = [edges[i] for i in generator.integers(len(edges), size=LANES // 2)]
    sizes = generator.integers(1, width, size=LANES - len(values))
    return values + [low + int(generator.integers(1 << 62)) % (1 << int(size)) for size in sizes]


def bits_of(values: list[int], kind: str) -> Any:
    width = int(kind[1:])
    return np.array([value % (1 << width) for value in values], f"u{width // 8}")


def signed(value: int, kind: str) -> int:
    """The value of a bit pattern in an integer type."""
    width = int(kind[1:])
    value %= 1 << width
    return value - (1 << width) if kind[0] == "s" and value >> width - 1 else value


def truncated(dividend: int, divisor: int) -> int:
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


BINARY: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda x, y, width: x + y,
    "sub": lambda x, y, width: x - y,
    "mul.lo": lambda x, y, width: x * y,
    "mul.hi": lambda x, y, width: x * y >> width,
    "min": lambda x, y, width: min(x, y),
    "max": lambda x, y, width: max(x, y),
    "div": lambda x, y, width: truncated(x, y),
    "rem": lambda x, y, width: x - truncated(x, y) * y,
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", BINARY)
def test_integer_arithmetic(name: str, kind: str) -> None:
    left, right = integers(kind, 1), integers(kind, 2)
    if name in ("div", "rem"):
        right = [value or 3 for value in right]  # PTX does not define division by zero
    width, untyped = int(kind[1:]), f"b{kind[1:]}"
    result = evaluate(
        f"{name}.{kind} D, A, B;", untyped, (untyped, bits_of(left, kind)), (untyped, bits_of(right, kind))
    )
    expected = [BINARY[name](x, y, width) for x, y in zip(left, right, strict=True)]
    assert result.tolist() == bits_of(expected, kind).tolist()


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32"])
def test_wide_product(kind: str) -> None:
    left, right = integers(kind, 3), integers(kind, 4)
    wide = f"{kind[0]}{2 * int(kind[1:])}"
    addend = integers(wide, 5)
    narrow, untyped = f"b{kind[1:]}", f"b{wide[1:]}"
    operands = (narrow, bits_of(left, kind)), (narrow, bits_of(right, kind)), (untyped, bits_of(addend, wide))
    result = evaluate(f"mul.wide.{kind} D, A, B;", untyped, *operands[:2])
    assert result.tolist() == bits_of([x * y for x, y in zip(left, right, strict=True)], wide).tolist()
    result = evaluate(f"mad.wide.{kind} D, A, B, C;", untyped, *operands)
    expected = [x * y + z for x, y, z in zip(left, right, addend, strict=True)]
    assert result.tolist() == bits_of(expected, wide).tolist()


def test_saturating_sum() -> None:
    left, right = integers("s32", 6), integers("s32", 7)
    operands = ("b32", bits_of(left, "s32")), ("b32", bits_of(right, "s32"))
    for name, sign in (("add", 1), ("sub", -1)):
        expected = [min(max(x + sign * y, -(2**31)), 2**31 - 1) for x, y in zip(left, right, strict=True)]
        assert evaluate(f"{name}.sat.s32 D, A, B;", "b32", *operands).tolist() == bits_of(expected, "s32").tolist()


@pytest.mark.parametrize("kinds", ["s32.s32", "s32.u32", "u32.s32", "u32.u32"])
def test_dot_product_of_bytes(kinds: str) -> None:
    values = [integers("u32", seed) for seed in (8, 9, 10)]

    def byte(word: int, number: int, kind: str) -> int:
        return signed(word >> 8 * number, f"{kind[0]}8")

    left, right = kinds.split(".")
    expected = [
        z + sum(byte(x, index, left) * byte(y, index, right) for index in range(4))
        for x, y, z in zip(*values, strict=True)
    ]
    result = evaluate(f"dp4a.{kinds} D, A, B, C;", "b32", *(("b32", bits_of(word, "u32")) for word in values))
    assert result.tolist() == bits_of(expected, "u32").tolist()


# ---- floating point ----


def floats(name: str, seed: int) -> Any:
    """Bit patterns of random values of a format: ordinary, subnormal and large ones, and ties."""
    width, generator = WIDTHS[name], np.random.default_rng(seed)
    bits = generator.integers(0, 1 << width, size=LANES, dtype=np.uint64).astype(f"u{width // 8}")
    mantissa = {"f16": 10, "bf16": 7, "f32": 23, "f64": 52}[name]
    exponents = width - 1 - mantissa
    exponents_near_zero = (1 << exponents - 1) - 1 + generator.integers(-6, 6, size=LANES // 2)
    half = bits[: LANES // 2]
    mask = np.array((1 << mantissa) - 1 | 1 << width - 1, half.dtype)
    bits[: LANES // 2] = (half & mask) | (exponents_near_zero.astype(half.dtype) << half.dtype.type(mantissa))
    return np.where(np.isfinite(decoded(bits, name)), bits, bits.dtype.type(0))


def decoded(bits: Any, name: str) -> Any:
    return widen_bf16(bits) if name == "bf16" else bits.view(FLOAT[WIDTHS[name]])


def exact(bits: Any, name: str) -> list[Fraction]:
    return [Fraction(float(value)) for value in decoded(bits, name)]


FLOAT_OPERATIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "fma": lambda x, y, z: x * y + z,
}
FLOAT_CASES = [
    (name, mode, kind)
    for name in FLOAT_OPERATIONS
    for kind in WIDTHS
    for mode in (("rn", "rz", "rm", "rp") if kind in ("f32", "f64") else ("rn",))
]


@pytest.mark.parametrize(("name", "mode", "kind"), FLOAT_CASES)
def test_float_arithmetic_rounds_once(name: str, mode: str, kind: str) -> None:
    count = 3 if name == "fma" else 2
    operands = [floats(kind, seed) for seed in range(count)]
    untyped = f"b{WIDTHS[kind]}"
    letters = ", ".join("ABC"[:count])
    result = evaluate(f"{name}.{mode}.{kind} D, {letters};", untyped, *((untyped, bits) for bits in operands))
    values = zip(*(exact(bits, kind) for bits in operands), strict=True)
    expected = [rounded(FLOAT_OPERATIONS[name](*row), kind, mode) for row in values]
    assert decoded(result, kind).astype(np.float64).tolist() == expected


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_packed_arithmetic_is_that_of_its_halves(name: str, kind: str) -> None:
    count = 3 if name == "fma" else 2
    halves = [floats(kind, seed) for seed in range(10, 10 + count)]
    letters, mode = ", ".join("ABC"[:count]), ".rn" if name == "fma" else ""
    single = evaluate(f"{name}{mode}.{kind} D, {letters};", "b16", *(("b16", bits) for bits in halves))
    packed = evaluate(
        f"{name}{mode}.{kind}x2 D, {letters};", "b32", *(("b32", bits.view(np.uint32)) for bits in halves)
    )
    assert packed.view(np.uint16).tolist() == single.tolist()


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("name", ["div.rn", "rcp.rn", "sqrt.rn"])
def test_division_and_root_are_rounded(name: str, kind: str) -> None:
    untyped = f"b{WIDTHS[kind]}"
    left, right = floats(kind, 20), floats(kind, 21)
    right[decoded(right, kind) == 0] = decoded(np.ones(1, right.dtype), kind).dtype.type(1).view(right.dtype)
    if name == "sqrt.rn":
        right &= right.dtype.type((1 << WIDTHS[kind] - 1) - 1)
    x, y = exact(left, kind), exact(right, kind)
    if name == "div.rn":
        result = evaluate(f"div.rn.{kind} D, A, B;", untyped, (untyped, left), (untyped, right))
        expected = [rounded(a / b, kind) for a, b in zip(x, y, strict=True)]
    else:
        result = evaluate(f"{name}.{kind} D, A;", untyped, (untyped, right))
        if name == "rcp.rn":
            expected = [rounded(1 / value, kind) for value in y]
        else:
            # 600 bits more than float64 has, so a number of the format this close to a root is the root.
            scale = Fraction(2) ** 1400
            expected = [rounded(Fraction(math.isqrt(int(value * scale * scale)), 1) / scale, kind) for value in y]
    assert decoded(result, kind).astype(np.float64).tolist() == expected


def f32(*values: float) -> Any:
    return np.resize(np.array(values, np.float32), 32).view(np.uint32)


TINY = float(np.finfo(np.float32).smallest_subnormal)


def test_flush_to_zero() -> None:
    """.ftz flushes subnormal operands and results, with their sign."""
    small, result = f32(TINY * 8, -TINY * 8, 2.0**-126), f32(0.0, -0.0, 2.0**-126)
    ones, zero = f32(1.0), f32(-0.0)
    assert evaluate("mul.ftz.f32 D, A, B;", "b32", ("b32", small), ("b32", ones)).tolist() == result.tolist()
    assert evaluate("mul.f32 D, A, B;", "b32", ("b32", small), ("b32", ones)).tolist() == small.tolist()
    assert evaluate("add.ftz.f32 D, A, B;", "b32", ("b32", small), ("b32", zero)).tolist() == result.tolist()
    half = evaluate("mul.ftz.f32 D, A, B;", "b32", ("b32", f32(2.0**-126)), ("b32", f32(0.5)))
    assert half.tolist() == f32(0.0).tolist()
    fused = evaluate("fma.rn.ftz.f32 D, A, B, C;", "b32", ("b32", small), ("b32", ones), ("b32", small))
    assert fused.tolist() == f32(0.0, -0.0, 2.0**-125).tolist()


def test_flush_to_zero_of_halves() -> None:
    small = np.resize(np.array([2.0**-15, -(2.0**-24), 2.0**-14], np.float16), 64).view(np.uint16)
    ones = np.ones(64, np.float16).view(np.uint16)
    flushed = np.resize(np.array([0.0, -0.0, 2.0**-14], np.float16), 64).view(np.uint16)
    assert evaluate("mul.f16 D, A, B;", "b16", ("b16", small), ("b16", ones)).tolist() == small.tolist()
    assert evaluate("mul.ftz.f16 D, A, B;", "b16", ("b16", small), ("b16", ones)).tolist() == flushed.tolist()
    packed = ("b32", small.view(np.uint32)), ("b32", ones.view(np.uint32))
    result = evaluate("fma.rn.ftz.f16x2 D, A, B, A;", "b32", *packed).view(np.uint16)
    assert result.tolist() == np.resize(np.array([0.0, -0.0, 2.0**-13], np.float16), 64).view(np.uint16).tolist()


def test_saturation() -> None:
    """.sat clamps to [0, 1], and NaN becomes 0."""
    values = f32(math.nan, -1.0, 0.25, 3.0, math.inf)
    result = evaluate("add.sat.f32 D, A, B;", "b32", ("b32", values), ("b32", f32(0.0)))
    assert result.tolist() == f32(0.0, 0.0, 0.25, 1.0, 1.0).tolist()
    assert evaluate("cvt.sat.f32.f32 D, A;", "b32", ("b32", values)).tolist() == result.tolist()


def test_extrema_of_nan() -> None:
    left, right = f32(math.nan, 1.0, math.nan, 2.0), f32(1.0, math.nan, math.nan, 3.0)
    for name, extremum in (("max", 3.0), ("min", 2.0)):
        result = evaluate(f"{name}.f32 D, A, B;", "b32", ("b32", left), ("b32", right)).view(np.float32)
        assert result[[0, 1, 3]].tolist() == [1.0, 1.0, extremum]
        assert np.isnan(result[2])
        result = evaluate(f"{name}.NaN.f32 D, A, B;", "b32", ("b32", left), ("b32", right)).view(np.float32)
        assert np.isnan(result[:3]).all()
        assert result[3] == extremum


@pytest.mark.parametrize("suffix", ["", ".NaN"])
def test_extrema_of_zeros(suffix: str) -> None:
    """-0 is less than +0, in either order of the operands."""
    left, right = f32(0.0, -0.0, 0.0, -0.0), f32(-0.0, 0.0, 0.0, -0.0)
    for name, zeros in (("min", f32(-0.0, -0.0, 0.0, -0.0)), ("max", f32(0.0, 0.0, 0.0, -0.0))):
        result = evaluate(f"{name}{suffix}.f32 D, A, B;", "b32", ("b32", left), ("b32", right))
        assert result.tolist() == zeros.tolist()


@pytest.mark.parametrize("name", ["ex2", "lg2", "rsqrt", "rcp", "sqrt", "sin", "cos", "tanh"])
def test_approximate_functions(name: str) -> None:
    """Without noise the error is half an ulp. With noise it is within the noise, and the same for the same seed."""
    values = np.abs(np.random.default_rng(30).standard_normal(256).astype(np.float32)) + np.float32(0.1)
    bits = values.view(np.uint32)
    functions: dict[str, Callable[[Any], Any]] = {
        "ex2": np.exp2,
        "lg2": np.log2,
        "rsqrt": lambda x: x**-0.5,
        "rcp": np.reciprocal,
        "sqrt": np.sqrt,
        "sin": np.sin,
        "cos": np.cos,
        "tanh": np.tanh,
    }
    reference = functions[name](values.astype(np.float64))
    code = f"{name}.approx.f32 D, A;"
    exact_result = evaluate(code, "b32", ("b32", bits)).view(np.float32)
    assert exact_result.tolist() == reference.astype(np.float32).tolist()
    noisy = [evaluate(code, "b32", ("b32", bits), noise=2.0, seed=seed).view(np.float32) for seed in (1, 1, 2)]
    assert noisy[0].tolist() == noisy[1].tolist() != noisy[2].tolist()
    assert (np.abs(noisy[0] - reference) <= np.abs(reference) * (2 * 2.0**-23 + 2.0**-24)).all()
    assert (noisy[0] != exact_result).any()


def test_noise_leaves_exact_instructions_alone() -> None:
    bits = f32(3.0, 7.0)
    for code in ("rcp.rn.f32 D, A;", "sqrt.rn.f32 D, A;", "add.f32 D, A, A;"):
        exact_bits = evaluate(code, "b32", ("b32", bits))
        assert evaluate(code, "b32", ("b32", bits), noise=100.0).tolist() == exact_bits.tolist()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["neg", "abs", "ex2.approx", "tanh.approx", "max", "min"])
def test_packed_functions_are_those_of_their_halves(name: str, kind: str) -> None:
    halves = [floats(kind, seed) for seed in (40, 41)]
    letters = "A, B" if name in ("max", "min") else "A"
    ftz = ".ftz" if (name, kind) == ("ex2.approx", "bf16") else ""
    single = evaluate(f"{name}{ftz}.{kind} D, {letters};", "b16", *(("b16", bits) for bits in halves))
    packed = evaluate(f"{name}{ftz}.{kind}x2 D, {letters};", "b32", *(("b32", bits.view(np.uint32)) for bits in halves))
    assert packed.view(np.uint16).tolist() == single.tolist()
    x, y = (decoded(bits, kind).astype(np.float64) for bits in halves)
    with np.errstate(over="ignore"):
        expected = {
            "neg": -x,
            "abs": np.abs(x),
            "ex2.approx": np.exp2(x),
            "tanh.approx": np.tanh(x),
            "max": np.maximum(x, y),
            "min": np.minimum(x, y),
        }[name]
    rows = [rounded(Fraction(value), kind) if math.isfinite(value) else value for value in expected.tolist()]
    assert decoded(single, kind).astype(np.float64).tolist() == rows


def test_copysign() -> None:
    """The first operand gives the sign, the second the magnitude."""
    result = evaluate("copysign.f32 D, A, B;", "b32", ("b32", f32(-1.0, 1.0, -0.0)), ("b32", f32(2.0, -3.0, 4.0)))
    assert result.tolist() == f32(-2.0, 3.0, -4.0).tolist()


def test_rounding_to_bfloat16() -> None:
    """Rounds to nearest even, also directly from float64, and NaN becomes 0x7fff."""
    values = np.random.default_rng(50).standard_normal(4096) * 2.0 ** np.random.default_rng(51).integers(
        -130, 120, 4096
    )
    expected = [rounded(Fraction(value), "bf16") for value in values.tolist()]
    assert widen_bf16(round_bf16(values)).tolist() == expected
    tie = 1 + 2.0**-8
    assert widen_bf16(round_bf16(np.array([tie, tie + 2.0**-40, tie - 2.0**-40]))).tolist() == [1.0, 1 + 2.0**-7, 1.0]
    assert round_bf16(np.array([math.nan, -math.nan])).tolist() == [0x7FFF, 0x7FFF]
