"""What the checks report, and the error that stops a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_tests.emulator.ptx import Instruction

# Findings of a memory request, in the order of memory.c.
MEMORY_KINDS = (
    "race: read of what another thread wrote without a barrier in between",
    "race: write of what another thread read or wrote without a barrier in between",
    "race within a warp: accesses without __syncwarp in between",
    "race between blocks: accesses without fences in between",
    "several lanes store to one address at once",
    "read of uninitialised shared memory",
    "access to shared memory before the wait for its cp.async",
    "write to an input",
    MISALIGNED := "misaligned access",
    "out of bounds",
)
STOPPING = frozenset({MISALIGNED, "out of bounds"})
DIVERGENT_BARRIER = "barrier reached by a part of a warp"
DIFFERENT_BARRIERS = "threads of a block wait at different barriers"
MISSING_LANES = "member mask names lanes that are not active"
OUTSIDE_MASK = "member mask leaves out a lane that executes the instruction"
INACTIVE_SOURCE = "shuffle reads a lane that is not active"
FOREIGN_SOURCE = "shuffle reads a lane outside its member mask"
PARTIAL_WARP = "matrix instruction without a whole warp"
WMMA_POINTER = "wmma pointer not aligned to 32 bytes"
WMMA_STRIDE = "wmma stride not a multiple of 16 bytes"


class EmulationError(Exception):
    """A launch that stopped: an access out of bounds, an unknown instruction, a time limit."""


class Unsupported(Exception):
    """An instruction whose semantics are not implemented."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem at one instruction.

    message: the kind, the line and text of the instruction, and the particulars of the first occurrence.
    count: how many times the instruction was executed with it.
    """

    kind: str
    message: str
    count: int


class Problems:
    """Collects problems by kind and instruction."""

    def __init__(self, code: Sequence[Instruction]):
        self._code = code
        self._problems: dict[tuple[str, int], Problem] = {}

    def add(self, kind: str, position: int, detail: str = "") -> Problem:
        """Counts one occurrence and returns the problem."""
        previous = self._problems.get((kind, position))
        if previous is None:
            instruction = self._code[position]
            message = f"{kind} at line {instruction.line}: {instruction.text}" + (f" ({detail})" if detail else "")
            problem = Problem(kind, message, 1)
        else:
            problem = Problem(kind, previous.message, previous.count + 1)
        self._problems[kind, position] = problem
        return problem

    def all(self) -> tuple[Problem, ...]:
        return tuple(self._problems.values())
