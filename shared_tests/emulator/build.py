"""Compiles what the emulation of some ops needs, on both sides, before the first kernel runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared_tests.emulator import cuda_build, mojo_build
from shared_tests.emulator.run import targets


def steps(ops: Sequence[str], sides: Sequence[str]) -> int:
    """How many builds `build_sides` makes or finds."""
    return sum(len(ops) * len(targets(side)) for side in sides)


def build_sides(ops: Sequence[str], sides: Sequence[str], progress: Callable[[str], None] = lambda name: None) -> None:
    """Compile ops side by side; what is in the cache takes no time.

    An op that does not compile fails when it is run.

    Args:
        progress: called with the name of each build that is ready.

    Raises:
        ToolkitError: a compiler is missing.
    """
    if "cpp" in sides:
        cuda_build.build_all(ops, targets("cpp"), progress=progress)
    if "mojo" in sides:
        for target in targets("mojo"):
            mojo_build.build_all(ops, target, progress=progress)
