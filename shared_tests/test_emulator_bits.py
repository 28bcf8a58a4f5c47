"""Checks bit operations, comparisons and conversions of the emulator against Python integers and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from shared_tests.emulator.values import widen_bf16
from shared_tests.exact_rounding import rounded
from shared_tests.small_ptx import evaluate

LANES = 256


def bit_patterns(width: int, seed: int) -> Any:
    """Random bit patterns, among them some with few or all bits set."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 1 << width, size=LANES, dtype=np.uint64)
    values[:8] = [0, 1, (1 << width) - 1, 1 << width - 1, (1 << width - 1) - 1, 2, 3, 1 << width // 2]
    return values.astype(f"u{width // 8}")


def as_signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value


def field_mask(length: int) -> int:
    return (1 << length) - 1


def shifted_right(value: int, amount: int, width: int, signed: bool) -> int:
    return (as_signed(value, width) if signed else value) >> min(amount, width)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_shifts_clamp_the_amount(width: int) -> None:
    values, amounts = (
        bit_patterns(width, 0),
        np.resize(np.array([0, 1, width - 1, width, width + 1, 255, 2**31], np.uint32), LANES),
    )
    pairs = list(zip(values.tolist(), amounts.tolist(), strict=True))
    operands = (f"b{width}", values), ("b32", amounts)
    mask = field_mask(width)
    left_shifted = evaluate(f"shl.b{width} D, A, B;", f"b{width}", *operands)
    assert left_shifted.tolist() == [(value << min(amount, width)) & mask for value, amount in pairs]
    for kind, signed in (("u", False), ("s", True)):
        right_shifted = evaluate(f"shr.{kind}{width} D, A, B;", f"b{width}", *operands)
        assert right_shifted.tolist() == [shifted_right(value, amount, width, signed) & mask for value, amount in pairs]


@pytest.mark.parametrize("mode", ["l.wrap", "l.clamp", "r.wrap", "r.clamp"])
def test_funnel_shift(mode: str) -> None:
    low, high, amounts = bit_patterns(32, 1), bit_patterns(32, 2), np.arange(LANES, dtype=np.uint32) % 70

    def shift(lower: int, upper: int, amount: int) -> int:
        amount = amount % 32 if mode.endswith("wrap") else min(amount, 32)
        joined = lower | upper << 32
        return (joined >> amount if mode.startswith("r") else joined << amount >> 32) & 0xFFFFFFFF

    result = evaluate(f"shf.{mode}.b32 D, A, B, C;", "b32", ("b32", low), ("b32", high), ("b32", amounts))
    assert result.tolist() == [shift(*row) for row in zip(low.tolist(), high.tolist(), amounts.tolist(), strict=True)]


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_field_extraction(kind: str) -> None:
    width = int(kind[1:])
    values = bit_patterns(width, 3)
    generator = np.random.default_rng(4)
    positions, lengths = (generator.integers(0, width + 8, size=LANES).astype(np.uint32) for _ in range(2))

    def field(value: int, position: int, length: int) -> int:
        """Extracts a field bit by bit, as in the manual. Bits beyond the field or the value are copies of the sign."""
        sign = value >> min(position + length - 1, width - 1) & 1 if kind[0] == "s" and length else 0
        in_field = [bit < length and position + bit < width for bit in range(width)]
        return sum(
            (value >> position + bit & 1 if is_inside else sign) << bit for bit, is_inside in enumerate(in_field)
        )

    operands = (f"b{width}", values), ("b32", positions), ("b32", lengths)
    result = evaluate(f"bfe.{kind} D, A, B, C;", f"b{width}", *operands)
    assert result.tolist() == [field(*row) for row in zip(*(o[1].tolist() for o in operands), strict=True)]


@pytest.mark.parametrize("width", [32, 64])
def test_field_insertion(width: int) -> None:
    sources, targets = bit_patterns(width, 5), bit_patterns(width, 6)
    generator = np.random.default_rng(7)
    positions, lengths = (generator.integers(0, width + 8, size=LANES).astype(np.uint32) for _ in range(2))

    def inserted(source: int, target: int, position: int, length: int) -> int:
        mask = field_mask(min(length, width)) << position & field_mask(width)
        return (target & ~mask) | (source << position & mask)

    operands = (f"b{width}", sources), (f"b{width}", targets), ("b32", positions), ("b32", lengths)
    result = evaluate(f"bfi.b{width} D, A, B, C, E;", f"b{width}", *operands)
    assert result.tolist() == [inserted(*row) for row in zip(*(o[1].tolist() for o in operands), strict=True)]


def test_byte_permutation() -> None:
    low, high, selectors = bit_patterns(32, 8), bit_patterns(32, 9), bit_patterns(32, 10)

    def permuted(lower: int, upper: int, selector: int) -> int:
        source = (lower | upper << 32).to_bytes(8, "little")
        selected = [(selector >> 4 * index) & 15 for index in range(4)]
        return int.from_bytes([(255 if source[c & 7] >> 7 else 0) if c & 8 else source[c] for c in selected], "little")

    result = evaluate("prmt.b32 D, A, B, C;", "b32", ("b32", low), ("b32", high), ("b32", selectors))
    assert result.tolist() == [
        permuted(*row) for row in zip(low.tolist(), high.tolist(), selectors.tolist(), strict=True)
    ]


@pytest.mark.parametrize("width", [32, 64])
def test_counting(width: int) -> None:
    values = bit_patterns(width, 11)
    numbers = values.tolist()
    expected: dict[str, Callable[[int], int]] = {
        f"popc.b{width}": lambda value: value.bit_count(),
        f"clz.b{width}": lambda value: width - value.bit_length(),
        f"bfind.u{width}": lambda value: value.bit_length() - 1,
        f"bfind.shiftamt.u{width}": lambda value: width - value.bit_length() if value else -1,
        f"bfind.s{width}": lambda value: (~value & field_mask(width) if value >> width - 1 else value).bit_length() - 1,
    }
    for opcode, function in expected.items():
        result = evaluate(f"{opcode} D, A;", "b32", (f"b{width}", values))
        assert result.tolist() == [function(value) & 0xFFFFFFFF for value in numbers], opcode
    reversed_ = evaluate(f"brev.b{width} D, A;", f"b{width}", (f"b{width}", values))
    assert reversed_.tolist() == [int(f"{value:0{width}b}"[::-1], 2) for value in numbers]


@pytest.mark.parametrize("table", [0x80, 0xE8, 0x96, 0x01, 0xFE, 0xAC])
def test_logic_table(table: int) -> None:
    operands = [bit_patterns(32, seed) for seed in (12, 13, 14)]

    def logic(*row: int) -> int:
        bits = [[value >> index & 1 for value in row] for index in range(32)]
        return sum((table >> (4 * a + 2 * b + c) & 1) << index for index, (a, b, c) in enumerate(bits))

    result = evaluate(f"lop3.b32 D, A, B, C, {table:#x};", "b32", *(("b32", values) for values in operands))
    assert result.tolist() == [logic(*row) for row in zip(*(values.tolist() for values in operands), strict=True)]


def test_logic_of_predicates() -> None:
    left, right = (np.random.default_rng(seed).integers(2, size=LANES).astype(np.uint8) for seed in (15, 16))
    operands = ("pred", left), ("pred", right)
    for name, function in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor)):
        result = evaluate(f"{name}.pred D, A, B;", "pred", *operands)
        assert result.tolist() == function(left, right).astype(bool).tolist()
    assert evaluate("and.pred D, !A, B;", "pred", *operands).tolist() == ((left == 0) & (right == 1)).tolist()


def test_packing_and_unpacking() -> None:
    values = bit_patterns(64, 17)
    low, high = evaluate("mov.b64 {D0, D1}, A;", "b32", ("b64", values), rows=2)
    assert low.tolist() == (values & np.uint64(0xFFFFFFFF)).tolist()
    assert high.tolist() == (values >> np.uint64(32)).tolist()
    assert evaluate("mov.b64 D, {A, B};", "b64", ("b32", low), ("b32", high)).tolist() == values.tolist()
    assert evaluate("mov.b64 {_, D}, A;", "b32", ("b64", values)).tolist() == high.tolist()


def test_bytes_extend_by_the_type_of_their_load() -> None:
    values = np.arange(256, dtype=np.uint8)
    pointer = (
        "ld.param.u64 %d40, [in0]; mov.u32 %r40, %tid.x; mov.u32 %r41, %ctaid.x; mad.lo.s32 %r40, %r41, 128, %r40;"
    )
    pointer += " cvt.u64.u32 %d41, %r40; add.s64 %d40, %d40, %d41;"
    unsigned = evaluate(f"{pointer} ld.global.u8 D, [%d40];", "b16", ("b8", values))
    signed = evaluate(f"{pointer} ld.global.s8 D, [%d40];", "b32", ("b8", values))
    assert unsigned.tolist() == values.tolist()
    assert signed.view(np.int32).tolist() == values.view(np.int8).tolist()


# ---- comparisons ----

ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_integer_comparisons(kind: str) -> None:
    width = int(kind[1:])
    left, right = bit_patterns(width, 20), bit_patterns(width, 21)
    right[::3] = left[::3]
    rows = [
        tuple(as_signed(value, width) if kind[0] == "s" else value for value in row)
        for row in zip(left.tolist(), right.tolist(), strict=True)
    ]
    for name, compare in ORDERED.items():
        result = evaluate(f"setp.{name}.{kind} D, A, B;", "pred", (f"b{width}", left), (f"b{width}", right))
        assert result.tolist() == [compare(*row) for row in rows], name


FLOAT_BITS = {
    "f16": lambda values: values.astype(np.float16).view(np.uint16),
    "bf16": lambda values: torch.tensor(values).bfloat16().view(torch.int16).numpy().view(np.uint16),
    "f32": lambda values: values.astype(np.float32).view(np.uint32),
    "f64": lambda values: values.view(np.uint64),
}


@pytest.mark.parametrize("kind", FLOAT_BITS)
def test_float_comparisons_and_nan(kind: str) -> None:
    """With NaN, comparisons that end in u are true and all others are false."""
    special = np.array([math.nan, 0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, 2.0])
    left, right = np.repeat(special, 8), np.tile(special, 8)
    untyped = f"b{FLOAT_BITS[kind](special).dtype.itemsize * 8}"
    operands = (untyped, FLOAT_BITS[kind](left)), (untyped, FLOAT_BITS[kind](right))
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    has_nan = [math.isnan(x) or math.isnan(y) for x, y in pairs]
    for name, compare in ORDERED.items():
        ordered = [compare(*pair) and not nan for pair, nan in zip(pairs, has_nan, strict=True)]
        unordered = [compare(*pair) or nan for pair, nan in zip(pairs, has_nan, strict=True)]
        assert evaluate(f"setp.{name}.{kind} D, A, B;", "pred", *operands).tolist() == ordered, name
        assert evaluate(f"setp.{name}u.{kind} D, A, B;", "pred", *operands).tolist() == unordered, name
    assert evaluate(f"setp.nan.{kind} D, A, B;", "pred", *operands).tolist() == has_nan
    assert evaluate(f"setp.num.{kind} D, A, B;", "pred", *operands).tolist() == [not nan for nan in has_nan]


def test_comparison_with_two_results_and_logic() -> None:
    left, right = bit_patterns(32, 22), bit_patterns(32, 23)
    predicate = np.random.default_rng(24).integers(2, size=LANES).astype(np.uint8)
    operands = ("b32", left), ("b32", right), ("pred", predicate)
    first, second = evaluate("setp.lt.and.u32 D0|D1, A, B, C;", "pred", *operands, rows=2)
    assert first.tolist() == ((left < right) & (predicate == 1)).tolist()
    assert second.tolist() == ((left >= right) & (predicate == 1)).tolist()


def test_selection() -> None:
    left, right = bit_patterns(32, 25), bit_patterns(32, 26)
    predicate = np.random.default_rng(27).integers(2, size=LANES).astype(np.uint8)
    result = evaluate("selp.b32 D, A, B, C;", "b32", ("b32", left), ("b32", right), ("pred", predicate))
    assert result.tolist() == np.where(predicate == 1, left, right).tolist()


# ---- conversions ----


@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
@pytest.mark.parametrize("kind", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
def test_floats_to_integers_saturate(kind: str, mode: str) -> None:
    """Values out of range give the nearest integer, and NaN gives 0."""
    width = int(kind[1:])
    values = np.random.default_rng(30).standard_normal(LANES) * 2.0 ** np.random.default_rng(31).integers(-3, 70, LANES)
    values[:12] = [math.nan, math.inf, -math.inf, 0.5, 1.5, -0.5, -2.5, 2.0**31, 2.0**63, -(2.0**31), 127.5, 255.5]
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if kind[0] == "s" else (0, (1 << width) - 1)
    roundings: dict[str, Callable[[float], int]] = {
        "rni": round,
        "rzi": math.trunc,
        "rmi": math.floor,
        "rpi": math.ceil,
    }

    def convert(value: float) -> int:
        if math.isnan(value):
            return 0
        if math.isinf(value):
            return high if value > 0 else low
        return min(max(roundings[mode](value), low), high)

    single = values.astype(np.float32)
    result = evaluate(f"cvt.{mode}.{kind}.f32 D, A;", f"b{max(width, 16)}", ("b32", single.view(np.uint32)))
    assert result.tolist() == [convert(value) % (1 << max(width, 16)) for value in single.tolist()]


@pytest.mark.parametrize("source", ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("target", ["f16", "f32", "f64"])
def test_integers_to_floats_round_once(source: str, target: str) -> None:
    width = int(source[1:])
    values = bit_patterns(max(width, 16), 32)
    numbers = [value % (1 << width) for value in values.tolist()]
    numbers = [as_signed(value, width) if source[0] == "s" else value for value in numbers]
    bits = f"b{target[1:]}"
    result = evaluate(f"cvt.rn.{target}.{source} D, A;", bits, (f"b{max(width, 16)}", values))
    assert result.view(f"f{int(target[1:]) // 8}").tolist() == [rounded(Fraction(value), target) for value in numbers]


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("s64", "s32"),
        ("u64", "u32"),
        ("s32", "s8"),
        ("u32", "u16"),
        ("u16", "u64"),
        ("s16", "s64"),
        ("s64", "u8"),
        ("u32", "s16"),
    ],
)
def test_integers_to_integers(target: str, source: str) -> None:
    """Integers are truncated, or extended by the sign of the source."""
    width, source_width = int(target[1:]), int(source[1:])
    values = bit_patterns(max(source_width, 16), 33)
    numbers = [value % (1 << source_width) for value in values.tolist()]
    numbers = [as_signed(value, source_width) if source[0] == "s" else value for value in numbers]
    result = evaluate(f"cvt.{target}.{source} D, A;", f"b{width}", (f"b{max(source_width, 16)}", values))
    assert result.tolist() == [value % (1 << width) for value in numbers]


def test_saturating_integer_conversion() -> None:
    values = np.resize(np.array([-300, -128, -1, 0, 127, 128, 255, 256, 2**31 - 1], np.int32), LANES)
    result = evaluate("cvt.sat.u8.s32 D, A;", "b16", ("b32", values.view(np.uint32)))
    assert result.tolist() == np.clip(values, 0, 255).tolist()
    result = evaluate("cvt.sat.s8.s32 D, A;", "b32", ("b32", values.view(np.uint32)))
    assert result.view(np.int32).tolist() == np.clip(values, -128, 127).tolist()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_narrowing_agrees_with_pytorch(kind: str) -> None:
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[kind]
    generator = np.random.default_rng(34)
    values = (generator.standard_normal(LANES) * 2.0 ** generator.integers(-30, 18, LANES)).astype(np.float32)
    values[:4] = [0.0, -0.0, math.inf, 65520.0]
    expected = torch.from_numpy(values).to(dtype).view(torch.int16).numpy().view(np.uint16)
    single = ("b32", values.view(np.uint32))
    assert evaluate(f"cvt.rn.{kind}.f32 D, A;", "b16", single).tolist() == expected.tolist()
    reversed_single = ("b32", values[::-1].copy().view(np.uint32))
    packed = evaluate(f"cvt.rn.{kind}x2.f32 D, A, B;", "b32", single, reversed_single)
    assert (packed >> 16).tolist() == expected.tolist()  # the first operand becomes the upper half
    assert (packed & 0xFFFF).tolist() == expected[::-1].tolist()
    wide = evaluate(f"cvt.f32.{kind} D, A;", "b32", ("b16", expected))
    assert (
        wide.tolist() == torch.from_numpy(expected.view(np.int16)).view(dtype).float().numpy().view(np.uint32).tolist()
    )


def test_conversion_of_nan_to_bfloat16() -> None:
    nan = np.full(32, math.nan, np.float32).view(np.uint32)
    assert set(evaluate("cvt.rn.bf16.f32 D, A;", "b16", ("b32", nan)).tolist()) == {0x7FFF}


def test_conversion_to_tf32_keeps_ten_bits() -> None:
    values = np.random.default_rng(35).standard_normal(LANES).astype(np.float32)
    values[:3] = [1 + 2.0**-11, 1 + 3 * 2.0**-11, math.inf]
    result = evaluate("cvt.rna.tf32.f32 D, A;", "b32", ("b32", values.view(np.uint32))).view(np.float32)
    assert (result.view(np.uint32) & 0x1FFF == 0).all()
    assert result[:3].tolist() == [1 + 2.0**-10, 1 + 2 * 2.0**-10, math.inf]
    assert (np.abs(result[3:] - values[3:]) <= np.abs(values[3:]) * 2.0**-11).all()


@pytest.mark.parametrize("kind", ["bf16"])
def test_packed_conversion_is_exact_for_the_halves(kind: str) -> None:
    halves = np.arange(0, 0x7F80, 127, dtype=np.uint16)[:LANES]
    widened = widen_bf16(halves)
    operand = ("b32", widened.view(np.uint32))
    packed = evaluate(f"cvt.rn.{kind}x2.f32 D, A, A;", "b32", operand)
    assert packed.view(np.uint16).reshape(-1, 2).tolist() == [[half, half] for half in halves.tolist()]
