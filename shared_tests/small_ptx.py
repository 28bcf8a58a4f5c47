"""Small PTX kernels for the tests of the emulator."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shared_tests.emulator import ptx
from shared_tests.emulator.machine import Launch, Memory, Report

HEADER = ".version 8.5\n.target sm_90\n.address_size 64\n"
REGISTERS = """
    .reg .pred %p<16>;
    .reg .b16 %h<32>;
    .reg .b32 %r<64>;
    .reg .f32 %f<64>;
    .reg .b64 %d<64>;
    .reg .f64 %e<16>;
"""
CLASSES = {1: "p", 16: "h", 32: "r", 64: "d"}  # register class by the number of bits of a value


def aligned(array: Any) -> Any:
    """A copy of an array at a multiple of 256 bytes."""
    values = np.ascontiguousarray(array)
    block = np.zeros(values.nbytes + 256, np.uint8)
    start = -block.ctypes.data % 256
    copy = block[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def kernel_text(body: str, parameters: Sequence[str], variables: str = "", attributes: str = "") -> str:
    """A module with one kernel `k`. Parameters are written as "u64 x"; `body` refers to them by name."""
    declarations = ", ".join(f".param .{parameter}" for parameter in parameters)
    return f"{HEADER}\n{variables}\n.visible .entry k({declarations}) {attributes}\n{{\n{REGISTERS}\n{body}\n}}\n"


def launch(
    text: str,
    arrays: Mapping[str, Any],
    scalars: Sequence[int] = (),
    *,
    block: Any = 32,
    grid: Any = 1,
    dynamic_shared: int = 0,
    **options: Any,
) -> Report:
    """Runs kernel `k`, whose parameters are the addresses of the arrays, followed by the scalars as 64-bit integers.

    Arrays whose names start with "out" may be written.
    """
    module = ptx.parse(text)
    memory = Memory()
    for name, array in arrays.items():
        memory.add(array.ctypes.data, array.nbytes, name, writable=name.startswith("out"))
    addresses = [array.ctypes.data for array in arrays.values()]
    arguments = [struct.pack("<q", value) for value in (*addresses, *scalars)]
    grid, block = ((extent,) if isinstance(extent, int) else extent for extent in (grid, block))
    return Launch(module.kernels["k"], module, grid, block, arguments, memory, dynamic_shared, **options).run()


def run(
    body: str, arrays: Mapping[str, Any], scalars: Sequence[int] = (), variables: str = "", **options: Any
) -> Report:
    """Like `launch`, for a body whose parameters have the names of the arrays, and n0, n1 ... for the scalars."""
    names = [*arrays, *(f"n{number}" for number in range(len(scalars)))]
    return launch(kernel_text(body, [f"u64 {name}" for name in names], variables), arrays, scalars, **options)


def kinds(report: Report) -> set[str]:
    """The kinds of problems, up to the colon: `race`, `out of bounds` and so on."""
    return {re.split(r"[:,]", problem.kind)[0] for problem in report.problems}


def evaluate(code: str, result: str, *operands: tuple[str, Any], rows: int = 1, **options: Any) -> Any:
    """The results of instructions in every lane.

    code: reads the operands A, B, C, E, which stand for registers, and writes D, or D0, D1 ... if there are several
        rows.
    result: unsigned type of the destination, or pred.
    operands: unsigned type and bits of each operand, one element per lane; predicates are bools.

    Returns the bits of the destinations, [rows, lanes] or [lanes].
    """
    lanes = len(operands[0][1])
    body = ["mov.u32 %r60, %ctaid.x; mov.u32 %r61, %ntid.x; mov.u32 %r62, %tid.x; mad.lo.s32 %r62, %r60, %r61, %r62;"]
    arrays: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, (kind, values) in enumerate(operands):
        letter, width = "ABCE"[number], 1 if kind == "pred" else 8 * ptx.SIZES[kind]
        arrays[f"in{number}"] = aligned(np.asarray(values))
        names[letter] = f"%{CLASSES[max(width, 16) if width > 1 else 1]}{number + 1}"
        target = f"%r{50 + number}" if width == 1 else names[letter]
        bytes_ = max(1, width // 8)
        body += [
            f"ld.param.u64 %d60, [in{number}];",
            f"mad.wide.u32 %d61, %r62, {bytes_}, %d60;",
            f"ld.global.{'u8' if width in (1, 8) else f'b{width}'} {target}, [%d61];",
        ]
        if width == 1:
            body.append(f"setp.ne.u32 {names[letter]}, {target}, 0;")
    width = 1 if result == "pred" else 8 * ptx.SIZES[result]
    targets = [f"%{CLASSES[width]}{10 + row}" for row in range(rows)]
    names |= {f"D{row}": target for row, target in enumerate(targets)} | ({"D": targets[0]} if rows == 1 else {})
    body.append(re.sub(r"\b(D\d*|[A-F])\b", lambda match: names.get(match[0], match[0]), code))
    stored = 4 if width == 1 else width // 8
    out = aligned(np.zeros((rows, lanes), f"u{stored}"))
    arrays["out"] = out
    for row, target in enumerate(targets):
        value = target
        if width == 1:
            body.append(f"selp.u32 %r{50 + row}, 1, 0, {target};")
            value = f"%r{50 + row}"
        body += [
            "ld.param.u64 %d60, [out];",
            f"mad.wide.u32 %d61, %r62, {stored}, %d60;",
            f"st.global.b{8 * stored} [%d61+{row * lanes * stored}], {value};",
        ]
    body.append("ret;")
    options = {"block": min(lanes, 128), "grid": max(1, lanes // 128)} | options
    report = run("\n".join(body), arrays, **options)
    assert not report.problems, report.problems
    values = out.astype(bool) if width == 1 else out
    return values if rows > 1 else values[0]
