"""Rows of the table `gpu`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import AtLeastOne, Count, Share

Side = Literal["cpp", "mojo"]


class Kernel(Struct, frozen=True, kw_only=True):
    """What one kernel needs on one target, for one block size.

    Attributes:
        threads: of a block.
        registers: of a thread.
        occupancy: part of the warps of a multiprocessor that fit at once, or None where it is not known.
    """

    kernel: str
    target: str
    threads: AtLeastOne
    registers: Count
    spill_bytes: Count
    occupancy: Share | None


class GpuRow(Struct, frozen=True, kw_only=True):
    """Emulated calls of the GPU kernels of one op, side and dtype.

    Attributes:
        cases, wrong, problems: calls, those with a wrong result, and those with a race, a bad access or an error.
        tool: the compilers and ptxas with their versions.
        sample, elements: what the counters were taken over; None where no such call ran.
        op_sectors: 32-byte sectors of memory that the op must move at least.
        least_sectors: sectors that the kernel's own accesses need at least; `load_sectors` and `store_sectors` are
            those that it moves.
        wavefronts, least_wavefronts: passes over shared memory, and the fewest that its accesses need.
    """

    op: str
    side: Side
    dtype: str
    cases: Count
    wrong: Count
    problems: Count
    message: str | None
    tool: str | None
    sample: str | None
    elements: Count | None
    op_sectors: Count | None
    kernels: tuple[Kernel, ...]
    load_sectors: Count | None
    store_sectors: Count | None
    least_sectors: Count | None
    wavefronts: Count | None
    least_wavefronts: Count | None
    warp_instructions: Count | None
