"""A kernel compiled for execution: its blocks in order, its names resolved, one step per instruction."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared_tests.emulator import forms, instructions
from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Names, Operands, Place
from shared_tests.emulator.order import FALLS_THROUGH, reordered
from shared_tests.emulator.problems import EmulationError, Unsupported
from shared_tests.emulator.ptx import SIZES, Immediate, Instruction, Kernel, Module, Variable

assert instructions.__all__  # the import fills the table of forms


def aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


@dataclass(frozen=True)
class Layout:
    """Where the variables and parameters of a kernel are.

    shared, local, parameters: bytes, without dynamic shared memory, which starts at `shared`.
    data: global and constant variables by name. Those of a module are one for all its kernels and launches.
    """

    places: dict[str, Place]
    shared: int
    local: int
    parameters: int
    data: dict[str, Any]


_module_data: weakref.WeakKeyDictionary[Module, dict[str, Any]] = weakref.WeakKeyDictionary()


def _storage(variable: Variable) -> Any:
    """The initial bytes of a variable, uint8, at an address that suits every alignment."""
    block = np.zeros(variable.size + 256, np.uint8)
    start = -block.ctypes.data % 256
    storage = block[start : start + variable.size]
    storage[: len(variable.data)] = np.frombuffer(variable.data, np.uint8)
    return storage


def layout(kernel: Kernel, module: Module) -> Layout:
    places: dict[str, Place] = {}
    data: dict[str, Any] = {}
    sizes = {"shared": 0, "local": 0, "param": 0}
    for parameter in kernel.parameters:
        offset = aligned(sizes["param"], parameter.align)
        places[parameter.name] = Place("param", offset)
        sizes["param"] = offset + parameter.size
    variables = [*module.variables, *kernel.variables]
    # Dynamic shared memory comes last; all such variables name the same bytes.
    for variable in sorted(variables, key=lambda item: item.size == 0):
        if variable.space in sizes:
            offset = aligned(sizes[variable.space], variable.align)
            places[variable.name] = Place(variable.space, offset)
            sizes[variable.space] = offset + variable.size
        else:
            storages = _module_data.setdefault(module, {}) if variable in module.variables else data
            data[variable.name] = storages.setdefault(variable.name, _storage(variable))
            places[variable.name] = Place(variable.space, data[variable.name].ctypes.data)
    return Layout(places, sizes["shared"], sizes["local"], sizes["param"], data)


def access_size(instruction: Instruction) -> int | None:
    """Bytes that an instruction accesses per lane in shared or global memory, None if it accesses neither."""
    name, *modifiers = instruction.opcode.split(".")
    if name in ("ld", "st", "atom", "red") and modifiers and not modifiers[0].startswith("param"):
        elements = next((int(part[1:]) for part in modifiers if part in ("v2", "v4", "v8")), 1)
        return SIZES.get(modifiers[-1], 1) * elements
    if name == "cp" and len(instruction.operands) > 2 and isinstance(instruction.operands[2], Immediate):
        return int(instruction.operands[2].text, 0)
    return 4 if name == "wmma" else None


def cell_shift(kernel: Kernel) -> int:
    """log2 of the narrowest access of a kernel, at most 16 bytes: the unit in which accesses are recorded."""
    sizes = [size for size in map(access_size, kernel.code) if size]
    return min([16, *sizes]).bit_length() - 1


@dataclass(frozen=True)
class Step:
    """An instruction that can be executed. guard: register number of its predicate."""

    run: Callable[[Chunk, Lanes], Any]
    guard: int | None
    negated: bool


def _compiled(instruction: Instruction, position: int, names: Names) -> forms.Step:
    """Raises Unsupported for an instruction that is not known."""
    message = f"unknown instruction at line {instruction.line}: {instruction.text}"
    form = forms.find(instruction.opcode)
    if form is None or (instruction.guard and instruction.guard not in names.registers):
        raise Unsupported(message)
    try:
        return form.build(Operands(instruction, position, names))
    except (Unsupported, LookupError, AttributeError, TypeError, ValueError) as error:
        raise Unsupported(f"{message} ({error})") from error


def _stopping(message: str) -> forms.Step:
    """What is not known stops the launch when it is reached, not before."""

    def step(chunk: Chunk, lanes: Lanes) -> None:
        raise EmulationError(message)

    return step


class Program:
    """A compiled kernel.

    kernel: with its blocks in order. widths: of the registers, in bits.
    unknown: messages for the instructions that are not known.
    stores: which instructions store, bool. lines: of the instructions, None for those that the kernel itself lacks.
    """

    def __init__(self, kernel: Kernel, module: Module):
        self.kernel = reordered(kernel)
        self.layout = layout(kernel, module)
        self.cell_shift = cell_shift(kernel)
        self.widths = list(kernel.registers.values())
        registers = {name: (number, width) for number, (name, width) in enumerate(kernel.registers.items())}
        names = Names(registers, self.layout.places, self.kernel.labels, self.layout.parameters)
        code = self.kernel.code
        self.stores = np.array([instruction.opcode.startswith("st") for instruction in code], bool)
        self.lines = [None if instruction.text == FALLS_THROUGH else instruction.line for instruction in code]
        self.unknown: list[str] = []
        self.steps: list[Step] = []
        for position, instruction in enumerate(code):
            guard = registers.get(instruction.guard, (None, 0))[0] if instruction.guard else None
            try:
                run = _compiled(instruction, position, names)
            except Unsupported as error:
                self.unknown.append(str(error))
                run = _stopping(str(error))
            self.steps.append(Step(run, guard, instruction.negated))


_programs: weakref.WeakKeyDictionary[Kernel, Program] = weakref.WeakKeyDictionary()


def compiled(kernel: Kernel, module: Module) -> Program:
    """The program of a kernel, compiled at its first launch."""
    if kernel not in _programs:
        _programs[kernel] = Program(kernel, module)
    return _programs[kernel]
