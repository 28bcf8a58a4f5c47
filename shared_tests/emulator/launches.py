"""What the hosts of both sides report of an op's call: its kernel launches, or the error that ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared_tests.emulator.machine import Report

Dimensions = tuple[int, int, int]


@dataclass(frozen=True)
class Launched:
    """One kernel launch of a call.

    kernel: its name in the PTX.
    grid, block: blocks and threads in x, y and z.
    dynamic_shared: bytes of shared memory that the launch asked for, beside what the kernel declares.
    report: problems and counters of the run; None where the launch was only recorded.
    ptx: the text of the module, from which `resources.resources` computes registers and spills.
    seconds: what the emulation took.
    """

    kernel: str
    grid: Dimensions
    block: Dimensions
    dynamic_shared: int
    report: Report | None
    ptx: str
    seconds: float

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.block[0] * self.block[1] * self.block[2]


class LaunchError(Exception):
    """A call that raised instead of filling its outputs; the message is what a user of the op would see.

    launches: those that ran before it.
    reason: why the GPU refuses the launch, which the message of a GPU leaves out; None for other errors.
    """

    def __init__(self, message: str, launches: tuple[Launched, ...] = (), reason: str | None = None):
        super().__init__(message)
        self.launches = launches
        self.reason = reason

    def __reduce__(self) -> tuple[type[LaunchError], tuple[str, tuple[Launched, ...], str | None]]:
        """Pickle would leave out what is not in `args`."""
        return type(self), (str(self), self.launches, self.reason)
