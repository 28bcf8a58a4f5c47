"""Parses PTX text into kernels. The grammar is that of the PTX ISA manual, as far as nvcc and Mojo use it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

# Bytes of a value of each type. A predicate has one byte here; it is never in memory.
SIZES = {
    **dict.fromkeys(("pred", "b8", "s8", "u8"), 1),
    **dict.fromkeys(("b16", "s16", "u16", "f16", "bf16"), 2),
    **dict.fromkeys(("b32", "s32", "u32", "f32", "f16x2", "bf16x2"), 4),
    **dict.fromkeys(("b64", "s64", "u64", "f64"), 8),
    "b128": 16,
}


@dataclass(frozen=True)
class Register:
    name: str


@dataclass(frozen=True)
class Negated:
    """A predicate operand with an exclamation mark."""

    register: Register


@dataclass(frozen=True)
class Immediate:
    text: str


@dataclass(frozen=True)
class Special:
    """A special register without its percent sign, for example `tid.x`."""

    name: str


@dataclass(frozen=True)
class Symbol:
    """The address of a variable or parameter plus an offset in bytes, or the name of a label."""

    name: str
    offset: int = 0


@dataclass(frozen=True)
class Address:
    base: Operand
    offset: int


@dataclass(frozen=True)
class Vector:
    items: tuple[Operand, ...]


@dataclass(frozen=True)
class Pair:
    """Two destinations, `d|p`."""

    first: Operand
    second: Operand


@dataclass(frozen=True)
class Unparsed:
    """An operand of a form that is not executed, such as the address of a tensor map."""

    text: str


# None is `_`.
Operand: TypeAlias = "Register | Negated | Immediate | Special | Symbol | Address | Vector | Pair | Unparsed | None"


@dataclass(frozen=True)
class Instruction:
    """One instruction; `guard` names the predicate register that it depends on."""

    opcode: str
    operands: tuple[Operand, ...]
    guard: str | None
    negated: bool
    text: str
    line: int


@dataclass(frozen=True)
class Variable:
    """A variable in the shared, local, global or const space. Size 0 stands for dynamic shared memory."""

    space: str
    name: str
    size: int
    align: int
    data: bytes = b""


@dataclass(frozen=True)
class Parameter:
    name: str
    size: int
    align: int


@dataclass(eq=False)
class Kernel:
    """An entry function. `labels` are positions in `code`, `registers` widths in bits (1 for predicates)."""

    name: str
    parameters: tuple[Parameter, ...]
    code: list[Instruction]
    labels: dict[str, int]
    registers: dict[str, int]
    variables: list[Variable]
    max_threads: int | None = None  # of .maxntid or .reqntid


@dataclass(eq=False)
class Module:
    kernels: Mapping[str, Kernel]
    variables: list[Variable]
    target: str


_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)([^{]*)\{")
_THREADS = re.compile(r"\.(?:maxntid|reqntid)\s+(\d+(?:\s*,\s*\d+)*)")
_PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr\b.*?\s)?([\w$]+)\s*(?:\[(\d+)\])?\s*$", re.S
)
_VARIABLE = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)*\.(shared|local|global|const)\s+(?:\.align\s+(\d+)\s+)?"
    r"\.(\w+)\s+([\w$]+)\s*(\[(\d*)\])?\s*(?:=\s*(.*))?$",
    re.S,
)
_BRACE = re.compile(r"[{}]")
_INITIALISER = re.compile(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|-?\w+")
_REGISTERS = re.compile(r"(%?[\w$]+)<(\d+)>")
# What a body consists of: labels, scope braces, line directives, and statements that a semicolon ends.
_PIECE = re.compile(r"\s*(?:([\w$]+):(?!:)|([{}])|(\.(?:loc|file)\b[^\n]*)|([^;]*);)")
_STATEMENT = re.compile(r"(?:@(!?)(%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", re.S)
_ADDRESS = re.compile(r"\[\s*([%\w$.]+)\s*(?:([+-])\s*(-?\w+))?\s*\]")


def split(text: str) -> list[str]:
    """The parts between the commas outside brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    part = text[start:].strip()
    return [*parts, part] if part else parts


def _initial_bytes(text: str, size: int) -> bytes:
    data = b""
    for literal in _INITIALISER.findall(text):
        if literal[:2] in ("0f", "0F"):
            data += int(literal[2:], 16).to_bytes(4, "little")
        elif literal[:2] in ("0d", "0D"):
            data += int(literal[2:], 16).to_bytes(8, "little")
        else:
            data += (int(literal.rstrip("U"), 0) % (1 << 8 * size)).to_bytes(size, "little")
    return data


def _variable(text: str) -> Variable:
    match = _VARIABLE.match(text)
    if match is None:
        raise SyntaxError(f"variable: {text}")
    space, align, kind, name, array, count, values = match.groups()
    size = SIZES[kind]
    length = int(count or 0) if array else 1
    return Variable(space, name, size * length, int(align or size), _initial_bytes(values, size) if values else b"")


def _parameter(text: str) -> Parameter:
    match = _PARAMETER.match(text)
    if match is None:
        raise SyntaxError(f"parameter: {text}")
    align, kind, name, count = match.groups()
    return Parameter(name, SIZES[kind] * int(count or 1), int(align or SIZES[kind]))


class _Body:
    """Collects the statements of one kernel; inner scopes may declare a register's name anew."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.registers: dict[str, int] = {}
        self.variables: list[Variable] = []
        self.scopes: list[dict[str, str]] = [{}]
        self.scope_count = 0
        self.operands: dict[str, Operand] = {}  # operands of the innermost scope, by their text

    def open_scope(self) -> None:
        self.scopes.append({})
        self.scope_count += 1
        self.operands.clear()

    def close_scope(self) -> None:
        self.scopes.pop()
        self.operands.clear()

    def statement(self, text: str, line: int) -> None:
        if text.startswith(".reg"):
            self._declare(text)
        elif text.startswith((".shared", ".local", ".global", ".const")):
            self.variables.append(_variable(text))
        elif text and not text.startswith("."):  # other directives, such as .pragma, change nothing here
            self._instruction(text, line)

    def _declare(self, text: str) -> None:
        self.operands.clear()
        kind, names = re.match(r"\.reg\s*\.(\w+)\s+(.*)", text, re.S).groups()  # type: ignore[union-attr]
        for declaration in split(names):
            family = _REGISTERS.fullmatch(declaration)
            for name in [f"{family[1]}{i}" for i in range(int(family[2]))] if family else [declaration]:
                unique = name if len(self.scopes) == 1 else f"{name}@{self.scope_count}"
                self.scopes[-1][name] = unique
                self.registers[unique] = 1 if kind == "pred" else 8 * SIZES[kind]

    def _resolve(self, name: str) -> str | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

    def _instruction(self, text: str, line: int) -> None:
        match = _STATEMENT.fullmatch(text)
        if match is None:
            raise SyntaxError(f"line {line}: {text}")
        negated, guard, opcode, operands = match.groups()
        self.code.append(
            Instruction(
                opcode,
                tuple(self._operand(operand) for operand in split(operands)),
                (self._resolve(guard) or guard) if guard else None,
                bool(negated),
                " ".join(text.split()),
                line,
            )
        )

    def _operand(self, text: str) -> Operand:
        if text not in self.operands:
            self.operands[text] = self._parsed_operand(text)
        return self.operands[text]

    def _parsed_operand(self, text: str) -> Operand:
        if text.startswith("{"):
            return Vector(tuple(self._operand(item) for item in split(text[1:-1])))
        if text.startswith("["):
            match = _ADDRESS.fullmatch(text)
            if match is None:
                return Unparsed(text)
            offset = int(match[3], 0) if match[3] else 0
            return Address(self._operand(match[1]), -offset if match[2] == "-" else offset)
        if "|" in text:
            first, second = text.split("|")
            return Pair(self._operand(first.strip()), self._operand(second.strip()))
        if text.startswith("!"):
            return Negated(Register(self._resolve(text[1:]) or text[1:]))
        if text in ("_", "%_"):
            return None
        if text == "WARP_SZ":
            return Immediate("32")
        register = self._resolve(text)
        if register:
            return Register(register)
        if text.startswith("%"):
            return Special(text[1:])
        if re.match(r"[-+]?\d", text):
            return Immediate(text)
        symbol = re.fullmatch(r"([\w$]+)\s*\+\s*(-?\w+)", text)
        return Symbol(symbol[1], int(symbol[2], 0)) if symbol else Symbol(text)


def _without_comments(source: str) -> str:
    """The same text with the same line numbers."""
    return _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), source)


def _body_end(source: str, start: int) -> int:
    """Where the closing brace of a body is that starts after its opening one. Raises SyntaxError if there is none."""
    depth = 1
    for brace in _BRACE.finditer(source, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.start()
    raise SyntaxError(f"line {_line(source, start)}: the kernel does not end")


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1


def _kernel(source: str, entry: re.Match[str], end: int) -> Kernel:
    """The kernel of an entry whose body ends at `end`."""
    body, line, position = _Body(), _line(source, entry.end()), entry.end()
    while piece := _PIECE.match(source, position, end):
        label, brace, _, statement = piece.groups()
        begin = piece.start(piece.lastindex or 0)
        line += source.count("\n", position, begin)
        if label:
            body.labels[label] = len(body.code)
        elif brace == "{":
            body.open_scope()
        elif brace == "}":
            body.close_scope()
        elif statement:
            body.statement(statement.strip(), line)
        line += source.count("\n", begin, piece.end())
        position = piece.end()
    if source[position:end].strip():
        raise SyntaxError(f"line {line}: {source[position:end].strip()}")
    threads = _THREADS.search(entry[3])
    limit = math.prod(map(int, threads[1].split(","))) if threads else None
    parameters = tuple(_parameter(text) for text in split(entry[2]))
    return Kernel(entry[1], parameters, body.code, body.labels, body.registers, body.variables, limit)


class _Kernels(Mapping[str, Kernel]):
    """The kernels of a source by name, each parsed when it is first asked for: a file may hold many."""

    def __init__(self, source: str):
        self._source = source
        self._bodies: dict[str, tuple[re.Match[str], int]] = {}
        self._parsed: dict[str, Kernel] = {}
        position = 0
        while entry := _ENTRY.search(source, position):
            position = _body_end(source, entry.end())
            self._bodies[entry[1]] = entry, position

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._parsed:
            self._parsed[name] = _kernel(self._source, *self._bodies[name])
        return self._parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)

    def outside(self) -> Iterator[str]:
        """The text before, between and after the kernels."""
        position = 0
        for entry, end in self._bodies.values():
            yield self._source[position : entry.start()]
            position = end + 1
        yield self._source[position:]


def _module_variables(text: str) -> list[Variable]:
    """Variables declared between the kernels."""
    text = re.sub(r"^\s*\.(?:version|target|address_size|file|loc)\b[^\n]*", "", text, flags=re.M)
    statements = (statement.strip() for statement in text.split(";"))
    return [_variable(statement) for statement in statements if _VARIABLE.match(statement)]


def parse(source: str) -> Module:
    """Parses a PTX file.

    Raises SyntaxError for text that is not understood; for that of a kernel, when the kernel is first asked for. An
    unknown opcode is no error here.
    """
    source = _without_comments(source)
    target = re.search(r"\.target\s+(\w+)", source)
    kernels = _Kernels(source)
    variables = [variable for text in kernels.outside() for variable in _module_variables(text)]
    return Module(kernels, variables, target[1] if target else "")
