"""The targets matrix: for which processors the sources of each op build, from this machine, and with what.

Building is not running: a row says that a compiler made code for the target, and what was read in the artifact to say
so. Three sides: `cpp` (C++, CUDA, and HIP by PyTorch's own translation), `mojo` (MAX, for a virtual device) and
`mojo_aot` (`mojo build`, for a CPU or an accelerator that need not be here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from evidence.core.recorded import KERNELS, Recorded, of_the_ops
from evidence.core.row import Side
from evidence.core.stage import taken_over
from evidence.sections.targets import cpp as targets_cpp
from evidence.sections.targets import mojo as targets_mojo
from evidence.sections.targets.built import DID_NOT_RUN, compile_all, same
from evidence.sections.targets.processors import Target
from evidence.sections.targets.row import TargetRow

RECORDED = Recorded(
    (*KERNELS, "shared_tests/emulator/requirements-cuda.txt", "reports/src/evidence/sections/targets/*.py"),
    of_a_run=False,
    belongs=of_the_ops,
)
COMMAND = "`nox -s targets` builds for every target and writes this section into the newest pack"
STAGES = (taken_over("targets", 131, ("targets",), COMMAND, RECORDED),)

QUICKEST_FIRST: tuple[Side, ...] = ("cpp", "mojo_aot", "mojo")


# What MAX compiles for without being asked: it takes two minutes a target, and what it shows is the same for each.
MAX_BY_DEFAULT = ("x86-64-v3", "x86-64-v4", "aarch64", "sm_90", "gfx942", "apple-m1")


@dataclass(frozen=True)
class Choice:
    """The part of the matrix to fill."""

    ops: tuple[str, ...]
    sides: tuple[str, ...]
    targets: tuple[Target, ...]
    every_max_target: bool = False

    def cells(self) -> list[tuple[Side, Target]]:
        """(side, target), those that take long last, so that an interrupted run has most of the matrix."""
        return [(side, target) for side in QUICKEST_FIRST if side in self.sides for target in self.targets]

    def left_out(self, side: str, target: Target) -> str | None:
        """Why a cell is not tried, or None."""
        if side == "mojo" and not self.every_max_target and target.name not in MAX_BY_DEFAULT:
            return "left out of the default run; `nox -s targets -- --all` has it"
        return None


Tell = Callable[[str], None]


def measure(choice: Choice, folder: Path, tell: Tell) -> Iterator[list[TargetRow]]:
    """Fill the chosen part, yielding the rows of one (side, target) after the other.

    Args:
        choice: ops, sides and targets.
        folder: for artifacts; each (side, target) has one of its own, which is removed when it was read.
        tell: hears what is being compiled.
    """
    with targets_mojo.Package(folder, choice.ops) as package:

        def build(side: Side, target: Target) -> list[TargetRow]:
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
            yield from (call() for call in calls) if side == "cpp" else compile_all(calls)
