"""The targets matrix: for which processors the sources of each op build, from this machine, and with what.

Building is not running: a row says that a compiler made code for the target, and what was read in the artifact to say
so. Three sides: `cpp` (C++, CUDA, and HIP by PyTorch's own translation), `mojo` (MAX, for a virtual device) and
`mojo_aot` (`mojo build`, for a CPU or an accelerator that need not be here).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import psutil

from evidence.core.pack import Row
from evidence.sections.targets.processors import Target

T = TypeVar("T")

SKIPPED = "`nox -s targets` builds for every target and writes this section into the newest pack"
BUILT = "built"
FAILED = "failed"
NO_TOOLS = "no tool chain"
NO_SOURCE = "no source"
DID_NOT_RUN = "did not run"

SIDES = ("cpp", "mojo", "mojo_aot")
QUICKEST_FIRST = ("cpp", "mojo_aot", "mojo")


# What MAX compiles for without being asked: it takes two minutes a target, and what it shows is the same for each.
MAX_BY_DEFAULT = ("x86-64-v3", "x86-64-v4", "aarch64", "sm_90", "gfx942", "apple-m1")
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


@dataclass(frozen=True)
class Choice:
    """The part of the matrix to fill."""

    ops: tuple[str, ...]
    sides: tuple[str, ...]
    targets: tuple[Target, ...]
    every_max_target: bool = False

    def cells(self) -> list[tuple[str, Target]]:
        """(side, target), those that take long last, so that an interrupted run has most of the matrix."""
        return [(side, target) for side in QUICKEST_FIRST if side in self.sides for target in self.targets]

    def left_out(self, side: str, target: Target) -> str | None:
        """Why a cell is not tried, or None."""
        if side == "mojo" and not self.every_max_target and target.name not in MAX_BY_DEFAULT:
            return "left out of the default run; `nox -s targets -- --all` has it"
        return None


Tell = Callable[[str], None]


def measure(choice: Choice, folder: Path, tell: Tell) -> Iterator[list[Built]]:
    """Fill the chosen part, yielding the rows of one (side, target) after the other.

    Args:
        choice: ops, sides and targets.
        folder: for artifacts; each (side, target) has one of its own, which is removed when it was read.
        tell: hears what is being compiled.
    """
    from evidence.sections.targets import cpp as targets_cpp
    from evidence.sections.targets import mojo as targets_mojo

    with targets_mojo.Package(folder, choice.ops) as package:

        def build(side: str, target: Target) -> list[Built]:
            if reason := choice.left_out(side, target):
                return same(choice.ops, side, target, DID_NOT_RUN, reason)
            tell(f"{side} for {target.name}")
            if side == "cpp":
                return targets_cpp.build(target, choice.ops, folder / f"cpp-{target.name}")
            if side == "mojo":
                return targets_mojo.build_with_max(target, choice.ops, folder / f"mojo-{target.name}")
            return targets_mojo.build_ahead(package, target, folder / f"aot-{target.name}")

        for side, cells in groupby(choice.cells(), key=itemgetter(0)):
            calls = [partial(build, *cell) for cell in cells]
            if side == "mojo_aot":
                package.ready()
            # A call of cpp has a compiler on every core; those of the others are one thread's work.
            yield from (call() for call in calls) if side == "cpp" else side_by_side(calls)


def side_by_side(calls: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Results of calls that wait for compilers, a core and COMPILER_BYTES each, as they come."""
    at_once = min(os.cpu_count() or 1, max(1, psutil.virtual_memory().available // COMPILER_BYTES))
    with ThreadPoolExecutor(at_once) as pool:
        tasks = [pool.submit(call) for call in calls]
        try:
            yield from (task.result() for task in as_completed(tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            # Compilers in other threads do not hear of it and take minutes, and what ends one starts the next.
            while not all(task.done() for task in tasks):
                end_children()
                time.sleep(0.1)
            raise


def end_children() -> None:
    """Kill every process that this one has started, and theirs."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()


def same(ops: Sequence[str], side: str, target: Target, status: str, message: str) -> list[Built]:
    """One answer for every op."""
    return [Built(op, side, target.name, status, message=message) for op in ops]
