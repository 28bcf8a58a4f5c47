"""Counters of a launch: memory transactions and executed instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Counters:
    """Sums over all warps of a launch.

    load_sectors, store_sectors: 32-byte sectors of global memory that the requests of the warps touch, with
        cp.async.
    least_load_sectors, least_store_sectors: bytes of addresses that differ within a warp divided by 32, rounded up
        for each instruction that up to 4,096 lanes execute together.
    wavefronts: passes through shared memory, by the words that fall into its most loaded bank.
    least_wavefronts: one for each group of lanes that share a wavefront: a warp for 4 bytes per lane, half a warp for
        8, a quarter for 16. Atomics and wmma are not counted.
    warp_instructions: instructions, counted once for each warp with an active lane.
    executed: the same by line of the PTX text; a line that was never reached has 0.
    """

    load_sectors: int = 0
    least_load_sectors: int = 0
    store_sectors: int = 0
    least_store_sectors: int = 0
    wavefronts: int = 0
    least_wavefronts: int = 0
    warp_instructions: int = 0
    executed: Mapping[int, int] | None = None

    @property
    def covered(self) -> float:
        """Share of the kernel's lines that were executed, 0 to 1."""
        counts = (self.executed or {}).values()
        return sum(count > 0 for count in counts) / len(counts) if counts else 0.0
