"""The table of instructions: which opcodes are known, with which modifiers, and how each is compiled.

A form is written as in the PTX manual, "add [.rn .rz] [.ftz] .f32": alternatives stand in brackets where they may be
left out and in angle brackets where one of them is required. An opcode that matches no form is not executed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands, Read
from shared_tests.emulator.values import Value

# Executes an instruction for some lanes; a control instruction returns what happens next, see control.py.
Step: TypeAlias = Callable[[Chunk, Lanes], Any]
Build: TypeAlias = Callable[[Operands], Step]

_PARTS = re.compile(r"\[([^\]]*)\]|<([^>]*)>|(\S+)")


@dataclass(frozen=True)
class Form:
    """The opcodes that a pattern allows, and the function that compiles such an instruction."""

    pattern: str
    expression: re.Pattern[str]
    build: Build


FORMS: dict[str, list[Form]] = {}


def _expression(pattern: str) -> re.Pattern[str]:
    result = ""
    for optional, required, literal in _PARTS.findall(pattern):
        if literal:
            result += re.escape(literal)
        else:
            alternatives = "|".join(map(re.escape, (optional or required).split()))
            result += f"(?:{alternatives})" + ("?" if optional else "")
    return re.compile(result)


def add(pattern: str, build: Build) -> None:
    """Adds a form to the table."""
    FORMS.setdefault(re.split(r"[.\s]", pattern, maxsplit=1)[0], []).append(Form(pattern, _expression(pattern), build))


@functools.cache
def find(opcode: str) -> Form | None:
    """The form of an opcode, None if it is not known."""
    return next((form for form in FORMS.get(opcode.split(".")[0], ()) if form.expression.fullmatch(opcode)), None)


def instruction(*patterns: str) -> Callable[[Build], Build]:
    """Decorates a function that compiles instructions of these forms."""

    def decorate(build: Build) -> Build:
        for pattern in patterns:
            add(pattern, build)
        return build

    return decorate


def lanewise(function: Callable[..., Value], kinds: str = "", result: str = "") -> Build:
    """Compiles an instruction that computes each lane by itself.

    kinds: types of the source operands, separated by spaces; by default `type`, the
        instruction's last modifier, for all.
    result: type of the destination; by default the last modifier.
    """

    def build(operands: Operands) -> Step:
        names = kinds.split() or ["type"] * (len(operands) - 1)
        sources = [
            operands.source(1 + index, operands.kind if name == "type" else name) for index, name in enumerate(names)
        ]
        return calculation(operands, function, sources, result or operands.kind)

    return build


def calculation(operands: Operands, function: Callable[..., Value], sources: list[Read], kind: str) -> Step:
    """A step that writes function(*sources) to the first operand, as a value of type `kind`."""
    write = operands.target(0, kind)
    if len(sources) == 1:
        (source,) = sources
        return lambda chunk, lanes: write(chunk, lanes, function(source(chunk)))
    if len(sources) == 2:
        left, right = sources
        return lambda chunk, lanes: write(chunk, lanes, function(left(chunk), right(chunk)))
    return lambda chunk, lanes: write(chunk, lanes, function(*(source(chunk) for source in sources)))


def example(pattern: str) -> str:
    """An opcode of a pattern: with the first alternative wherever one is required, without what may be left out."""
    return "".join(
        literal or (required.split()[0] if required else "") for _, required, literal in _PARTS.findall(pattern)
    )
