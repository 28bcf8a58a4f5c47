"""What became of an op for a target: a row of the matrix, and how compilers run beside each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import psutil

from evidence.core.child import side_by_side
from evidence.core.pack import Row
from evidence.sections.targets.processors import Target

T = TypeVar("T")

BUILT = "built"
FAILED = "failed"
NO_TOOLS = "no tool chain"
NO_SOURCE = "no source"
DID_NOT_RUN = "did not run"
SIDES = ("cpp", "mojo", "mojo_aot")
COMPILER_BYTES = 2 << 30  # the catalogue in one: MAX takes 1.6 GB, mojo build 1.1 GB


@dataclass(frozen=True)
class Built:
    """What became of one op for one target on one side; a row of the matrix.

    Attributes:
        seconds: of the compiler, for the ops that it compiled `together`.
        bytes: of the op's artifact; null where ops share one.
        message: the first error line, or what to install.
        tool: compiler and version.
        proof: what was read in the artifact; null where nothing was built.
        together: how many ops the compiler was given at once.
        target_lines: code lines that only this kind of target compiles, in the op's sources and what they include.
        untranslated: lines with a CUDA name that PyTorch's translation to HIP left.
    """

    op: str
    side: str
    target: str
    status: str
    seconds: float | None = None
    bytes: int | None = None
    message: str | None = None
    tool: str | None = None
    proof: str | None = None
    together: int = 1
    target_lines: int | None = None
    untranslated: int | None = None

    def row(self) -> Row:
        """As the pack has it."""
        return asdict(self)


def same(ops: Sequence[str], side: str, target: Target, status: str, message: str) -> list[Built]:
    """One answer for every op."""
    return [Built(op, side, target.name, status, message=message) for op in ops]


def compile_all(calls: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Results of calls that wait for compilers, a core and COMPILER_BYTES each, as they come."""
    free = psutil.virtual_memory().available // COMPILER_BYTES
    return side_by_side(calls, min(os.cpu_count() or 1, max(1, free)))
