"""Compiles what the emulation of some ops needs, on both sides, before the first kernel runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared_tests.emulator import cuda_build, mojo_build, toolkit


def build_sides(
    ops: Sequence[str],
    sides: Sequence[str],
    targets: Sequence[str],
    progress: Callable[[str], None] = lambda name: None,
) -> None:
    """Compile ops side by side; what is in the cache takes no time. An op that does not compile fails when it is run.

    Args:
        targets: of `devices.DEVICES`.
        progress: called with the name of each build that is ready.

    Raises:
        ToolkitError: a compiler is missing.
    """
    toolkit.find()
    if "cpp" in sides:
        cuda_build.build_all(ops, targets, progress=lambda name: progress(f"C++ {name}"))
    if "mojo" in sides:
        mojo_build.mojo()
        for target in targets:
            mojo_build.build_all(ops, target, progress=lambda op, target=target: progress(f"Mojo {op} {target}"))  # type: ignore[misc]
