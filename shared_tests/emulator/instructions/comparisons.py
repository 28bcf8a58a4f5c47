"""setp and testp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.forms import Step, calculation, instruction
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.ptx import Pair
from shared_tests.emulator.values import TYPES, Value, flush

COMPARISONS: dict[str, Callable[[Value, Value], Value]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNSIGNED_NAMES = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
LOGIC = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}

_FLOAT = "<.eq .ne .lt .le .gt .ge .equ .neu .ltu .leu .gtu .geu .num .nan> [.and .or .xor]"


def unordered(x: Value, y: Value) -> Value:
    return np.isnan(x) | np.isnan(y)


def comparison(name: str, floating: bool) -> Callable[[Value, Value], Value]:
    """The comparison of a PTX name. NaN makes it false, or true for the names of floats that end in u."""
    name = UNSIGNED_NAMES.get(name, name)
    if name == "nan":
        return unordered
    if name == "num":
        return lambda x, y: ~unordered(x, y)
    if name == "ne" and floating:
        return lambda x, y: (x != y) & ~unordered(x, y)
    if name == "neu":
        return np.not_equal
    if name in COMPARISONS:
        return COMPARISONS[name]
    ordered_comparison = COMPARISONS[name[:2]]
    return lambda x, y: ordered_comparison(x, y) | unordered(x, y)


@instruction(
    "setp <.eq .ne> [.and .or .xor] <.b16 .b32 .b64>",
    "setp <.eq .ne .lt .le .gt .ge .lo .ls .hi .hs> [.and .or .xor] <.u16 .u32 .u64>",
    "setp <.eq .ne .lt .le .gt .ge> [.and .or .xor] <.s16 .s32 .s64>",
    f"setp {_FLOAT} [.ftz] .f32",
    f"setp {_FLOAT} <.f64 .f16 .bf16>",
)
def setp(operands: Operands) -> Step:
    """p|q = a comparison and its opposite, each combined with a third operand."""
    compare = comparison(operands.modifiers[0], TYPES[operands.kind].floating)
    logic: Callable[..., Value] | None = LOGIC.get(operands.modifier_among(*LOGIC))
    left, right = operands.source(1, operands.kind), operands.source(2, operands.kind)
    predicate = operands.source(3, "pred") if logic else None
    target = operands[0]
    first, second = (target.first, target.second) if isinstance(target, Pair) else (target, None)
    write, write_opposite = operands.write(first, "pred"), operands.write(second, "pred") if second else None
    subnormal = "ftz" not in operands.modifiers

    def step(chunk: Chunk, lanes: Lanes) -> None:
        x, y = left(chunk), right(chunk)
        result = compare(x, y) if subnormal else compare(flush(x), flush(y))
        combined = predicate(chunk) if predicate else None
        write(chunk, lanes, logic(result, combined) if logic else result)
        if write_opposite:
            write_opposite(chunk, lanes, logic(~result, combined) if logic else ~result)

    return step


@instruction("testp <.finite .infinite .number .notanumber> <.f32 .f64>")
def testp(operands: Operands) -> Step:
    tests: dict[str, Callable[[Value], Value]] = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda value: ~np.isnan(value),
        "notanumber": np.isnan,
    }
    return calculation(operands, tests[operands.modifiers[0]], [operands.source(1, operands.kind)], "pred")
