"""Compiles what the emulation of some ops needs, on both sides, before the first kernel runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def build_sides(ops: Sequence[str], sides: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Compile ops side by side; what is in the cache takes no time.

    Yields:
        How many are ready, of how many, and the name of the last one.

    Raises:
        ToolkitError: a compiler is missing. A source that does not compile is a problem of its op, not of this.
    """
    from shared_tests.emulator import cuda_build

    steps = [cuda_build.build_all(ops)] if "cpp" in sides else []
    total = len(steps) * len(ops)
    for done, (op, _) in enumerate((built for step in steps for built in step), 1):
        yield done, total, op
