"""Floating-point arithmetic, packed types included, and the approximate functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, add, calculation, instruction, lanewise
from shared_tests.emulator.fused import MODES, multiply_add
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.values import TYPES, Value, flush

ROUNDING = "[.rn .rz .rm .rp]"
HALVES = "<.f16 .f16x2>"
BRAINS = "<.bf16 .bf16x2>"


def saturate(value: Value) -> Value:
    """Clamps to [0, 1]; NaN becomes 0."""
    return np.where(np.isnan(value), value.dtype.type(0), np.clip(value, value.dtype.type(0), value.dtype.type(1)))


def modified(operands: Operands, function: Callable[..., Value]) -> Callable[..., Value]:
    """The function with the modifiers .ftz and .sat of the instruction."""
    if "ftz" in operands.modifiers:
        inner, smallest = function, TYPES[operands.kind].smallest_normal

        def function(*values: Value) -> Value:
            return flush(inner(*(flush(value, smallest) for value in values)), smallest)

    if "sat" in operands.modifiers:
        unclamped = function

        def function(*values: Value) -> Value:
            return saturate(unclamped(*values))

    return function


def arithmetic(operands: Operands, function: Callable[..., Value]) -> Step:
    """A step for a function of all source operands, each of the instruction's type."""
    sources = [operands.read(operand, operands.kind) for operand in operands.instruction.operands[1:]]
    return calculation(operands, modified(operands, function), sources, operands.kind)


def minus(x: Value, y: Value, mode: str) -> Value:
    return multiply_add(y, y.dtype.type(-1), x, mode)


NEAREST: dict[str, Callable[[Value, Value], Value]] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
DIRECTED: dict[str, Callable[[Value, Value, str], Value]] = {
    "add": lambda x, y, mode: multiply_add(x, x.dtype.type(1), y, mode),
    "sub": minus,
    "mul": lambda x, y, mode: multiply_add(x, y, x.dtype.type(-0.0), mode),
}


@instruction(
    *(f"{name} {ROUNDING} [.ftz] [.sat] .f32" for name in NEAREST),
    *(f"{name} {ROUNDING} .f64" for name in NEAREST),
    *(f"{name} [.rn] [.ftz] [.sat] {HALVES}" for name in NEAREST),
    *(f"{name} [.rn] {BRAINS}" for name in NEAREST),
)
def basic(operands: Operands) -> Step:
    name, mode = operands.instruction.opcode.split(".")[0], operands.modifier_among(*MODES, default="rn")
    if mode == "rn":
        return arithmetic(operands, NEAREST[name])
    directed = DIRECTED[name]
    return arithmetic(operands, lambda x, y: directed(x, y, mode))


@instruction(
    "fma <.rn .rz .rm .rp> [.ftz] [.sat] .f32",
    "mad <.rn .rz .rm .rp> [.ftz] [.sat] .f32",
    "fma <.rn .rz .rm .rp> .f64",
    "mad <.rn .rz .rm .rp> .f64",
    f"fma .rn [.ftz] [.sat] {HALVES}",
    f"fma .rn {BRAINS}",
)
def fma(operands: Operands) -> Step:
    mode = operands.modifier_among(*MODES)
    if TYPES[operands.kind].brain or TYPES[operands.kind].dtype == np.float16:
        # Products are exact in float64, and the sum is rounded to the narrow type by the write.
        return arithmetic(operands, lambda x, y, z: x.astype(np.float64) * y.astype(np.float64) + z.astype(np.float64))
    return arithmetic(operands, lambda x, y, z: multiply_add(x, y, z, mode))


@instruction(
    *(f"{name} [.ftz] [.NaN] <.f32 .f16 .f16x2>" for name in ("min", "max")),
    *(f"{name} .f64" for name in ("min", "max")),
    *(f"{name} [.NaN] {BRAINS}" for name in ("min", "max")),
)
def extremum(operands: Operands) -> Step:
    """Of a number and NaN the number, or NaN with .NaN; -0 is below +0."""
    smallest, propagate = operands.instruction.opcode.startswith("min"), "NaN" in operands.modifiers
    function = {
        (True, True): np.minimum, (True, False): np.fmin, (False, True): np.maximum, (False, False): np.fmax
    }[smallest, propagate]  # fmt: skip

    def ordered(x: Value, y: Value) -> Value:
        """NumPy may return either of two zeros."""
        return np.where(x == y, np.where(np.signbit(x) == smallest, x, y), function(x, y))

    return arithmetic(operands, ordered)


@instruction("neg [.ftz] <.f32 .f16 .f16x2>", "neg <.f64 .bf16 .bf16x2>")
def neg(operands: Operands) -> Step:
    return arithmetic(operands, np.negative)


@instruction("abs [.ftz] <.f32 .f16 .f16x2>", "abs <.f64 .bf16 .bf16x2>")
def absolute(operands: Operands) -> Step:
    return arithmetic(operands, np.abs)


add("copysign <.f32 .f64>", lanewise(lambda sign, magnitude: np.copysign(magnitude, sign)))

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcp": lambda x: 1 / x,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}


@instruction(
    "div .rn [.ftz] .f32",
    "div <.approx .full> [.ftz] .f32",
    "div .rn .f64",
    "rcp .rn [.ftz] .f32",
    "sqrt .rn [.ftz] .f32",
    "rcp .rn .f64",
    "sqrt .rn .f64",
    *(f"{name} .approx [.ftz] .f32" for name in ("ex2", "lg2", "rsqrt", "rcp", "sqrt", "sin", "cos")),
    "rsqrt .approx [.ftz] .f64",
    "rcp .approx .ftz .f64",
    "tanh .approx <.f32 .f16 .f16x2 .bf16 .bf16x2>",
    "ex2 .approx <.f16 .f16x2>",
    "ex2 .approx .ftz <.bf16 .bf16x2>",
)
def function_of_lanes(operands: Operands) -> Step:
    """Computed in float64 and rounded once. Noise, if any, is put on the approximate ones before that."""
    name = operands.instruction.opcode.split(".")[0]
    exact = np.divide if name == "div" else FUNCTIONS[name]
    approximate = "rn" not in operands.modifiers
    sources = [operands.read(operand, operands.kind) for operand in operands.instruction.operands[1:]]
    write, kind = operands.target(0, operands.kind), TYPES[operands.kind]

    def step(chunk: Chunk, lanes: Lanes) -> None:
        def rounded(*values: Value) -> Value:
            result = exact(*(value.astype(np.float64) for value in values))
            if approximate and chunk.noise:
                spread = chunk.random.uniform(-1, 1, np.shape(result))
                result = result * (1 + chunk.noise * 2.0**-23 * spread)
            return result if kind.brain else result.astype(kind.dtype)

        write(chunk, lanes, modified(operands, rounded)(*(source(chunk) for source in sources)))

    return step
