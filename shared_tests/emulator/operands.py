"""Compiles the operands of an instruction into functions that read and write registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.problems import Unsupported
from shared_tests.emulator.ptx import (
    Address,
    Immediate,
    Instruction,
    Negated,
    Operand,
    Register,
    Special,
    Symbol,
    Vector,
)
from shared_tests.emulator.special import SPECIAL
from shared_tests.emulator.values import TYPES, UNSIGNED, Type, Value, decode, encode, immediate

Read = Callable[[Chunk], Value]
Write = Callable[[Chunk, Lanes, Value], None]


class Place(NamedTuple):
    """Where a symbol is: its state space, and its address in that space."""

    space: str
    offset: int


class Names(NamedTuple):
    """What the names in a kernel stand for: register numbers and widths in bits, variables and labels.

    parameter_bytes: size of the parameters, to check their loads against.
    """

    registers: Mapping[str, tuple[int, int]]
    symbols: Mapping[str, Place]
    labels: Mapping[str, int]
    parameter_bytes: int


class Operands:
    """The operands of one instruction.

    modifiers: the parts of the opcode after the first. kind: the last of them, usually a type.
    position: of the instruction in the kernel's code.
    """

    def __init__(self, instruction: Instruction, position: int, names: Names):
        self.instruction = instruction
        self.position = position
        self.names = names
        self.modifiers = tuple(instruction.opcode.split(".")[1:])
        self.kind = self.modifiers[-1] if self.modifiers else ""

    def __len__(self) -> int:
        return len(self.instruction.operands)

    def __getitem__(self, index: int) -> Operand:
        return self.instruction.operands[index]

    def modifier_among(self, *alternatives: str, default: str = "") -> str:
        """The first of the alternatives that is among the modifiers."""
        return next((modifier for modifier in self.modifiers if modifier in alternatives), default)

    def items(self, index: int) -> Sequence[Operand]:
        """The members of a vector operand, or the operand itself."""
        operand = self[index]
        return operand.items if isinstance(operand, Vector) else (operand,)

    def constant(self, index: int) -> int:
        operand = self[index]
        if not isinstance(operand, Immediate):
            raise Unsupported("an operand that is not a constant")
        return int(operand.text, 0)

    def read(self, operand: Operand, kind: str) -> Read:
        """Reads an operand as a type; the value is an array over all lanes or a scalar."""
        type_ = TYPES[kind]
        if isinstance(operand, Negated):
            inverted = self.read(operand.register, kind)
            return lambda chunk: ~inverted(chunk)
        if isinstance(operand, Register):
            return _register_reader(*self.names.registers[operand.name], type_)
        if isinstance(operand, Immediate):
            value = decode(immediate(operand.text, type_), type_)
            return lambda chunk: value
        if isinstance(operand, Special):
            return _special_reader(operand.name, type_)
        if isinstance(operand, Symbol):
            place = UNSIGNED[type_.width](self.names.symbols[operand.name].offset + operand.offset)
            return lambda chunk: place
        raise Unsupported(f"operand {operand}")

    def write(self, operand: Operand, kind: str) -> Write:
        """Writes a value of a type to a register, for the lanes that execute the instruction."""
        if operand is None:
            return lambda chunk, lanes, value: None
        if not isinstance(operand, Register):
            raise Unsupported(f"destination {operand}")
        number, width = self.names.registers[operand.name]
        return _register_writer(number, width, TYPES[kind])

    def source(self, index: int, kind: str) -> Read:
        return self.read(self[index], kind)

    def target(self, index: int, kind: str) -> Write:
        return self.write(self[index], kind)

    def sources(self, index: int, kind: str) -> list[Read]:
        """Reads the members of a vector operand."""
        return [self.read(item, kind) for item in self.items(index)]

    def targets(self, index: int, kind: str) -> list[Write]:
        """Writes the members of a vector operand."""
        return [self.write(item, kind) for item in self.items(index)]

    def bits(self) -> str:
        """The untyped type of the width of the last modifier."""
        return f"b{TYPES[self.kind].width}" if self.kind != "pred" else "pred"

    def address(self, index: int) -> Read:
        """The address that an operand in brackets stands for, uint64. Registers of 32 bits hold offsets."""
        operand = self[index]
        if not isinstance(operand, Address):
            raise Unsupported("an operand that is not an address")
        base = operand.base
        narrow = isinstance(base, Register) and self.names.registers[base.name][1] == 32
        read = self.read(base, "u32" if narrow else "u64")
        if narrow:
            offset32 = np.uint32(operand.offset % (1 << 32))
            return lambda chunk: (read(chunk) + offset32).astype(np.uint64)
        if not operand.offset:
            return read
        offset = np.uint64(operand.offset % (1 << 64))
        return lambda chunk: read(chunk) + offset


def _register_reader(number: int, width: int, kind: Type) -> Read:
    if kind.width == 1:
        return lambda chunk: chunk.registers[number]
    if width == kind.width and not kind.packed and not kind.brain:
        dtype: Any = np.dtype(kind.dtype)
        return lambda chunk: chunk.registers[number].view(dtype)
    return lambda chunk: decode(chunk.registers[number], kind)


def _register_writer(number: int, width: int, kind: Type) -> Write:
    if kind.width == width and not kind.packed and not kind.brain:
        dtype = np.dtype(kind.dtype)

        def write(chunk: Chunk, lanes: Lanes, value: Value) -> None:
            if value.dtype != dtype:
                value = value.astype(dtype)
            if lanes.is_whole:
                chunk.registers[number] = value
            else:
                chunk.write(number, lanes, value)

        return write
    return lambda chunk, lanes, value: chunk.write(number, lanes, encode(value, kind, width))


def _special_reader(name: str, kind: Type) -> Read:
    if name not in SPECIAL:
        raise Unsupported(f"special register {name}")
    return lambda chunk: chunk.special[name].astype(UNSIGNED[kind.width]).view(kind.dtype)
