"""In random programs of loads, stores and barriers, a race is reported iff a search over all pairs finds one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from shared_tests.emulator.problems import MEMORY_KINDS
from shared_tests.small_ptx import aligned, run

THREADS, BLOCKS, CELLS, STEPS = 64, 2, 16, 7
SKIPPED = 0xFFFFFFFF
RACES = set(MEMORY_KINDS[:5])

INITIALISE = f"""
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, {THREADS}, %r1; mul.wide.u32 %d1, %r3, 4;
    ld.param.u64 %d2, [addresses]; add.s64 %d2, %d2, %d1; ld.param.u64 %d3, [out]; mov.u32 %r4, tile;
    mad.lo.s32 %r5, %r1, 4, %r4; setp.lt.u32 %p1, %r1, {CELLS}; @%p1 st.shared.u32 [%r5], %r1; bar.sync 0;
"""
SHARED = {
    "store": "add.s32 %r7, %r6, %r4; @%p2 st.shared.u32 [%r7], %r1;",
    "load": "add.s32 %r7, %r6, %r4; @%p2 ld.shared.u32 %r8, [%r7];",
}
GLOBAL = {
    "store": "cvt.u64.u32 %d4, %r6; add.s64 %d4, %d4, %d3; @%p2 st.global.u32 [%d4], %r1;",
    "load": "cvt.u64.u32 %d4, %r6; add.s64 %d4, %d4, %d3; @%p2 ld.global.u32 %r8, [%d4];",
}
BARRIERS = {"block": "bar.sync 0;", "warp": "bar.warp.sync -1;"}


@dataclass(frozen=True)
class Access:
    """An access to memory. epoch, warp_epoch: number of earlier barriers of the block and of the warp."""

    block: int
    thread: int
    cell: int
    write: bool
    epoch: int
    warp_epoch: int


def conflict(first: Access, second: Access, shared: bool) -> bool:
    """Whether two accesses, at least first of which is a write, are unordered."""
    if first.cell != second.cell or not (first.write or second.write):
        return False
    if first.block != second.block:
        return not shared
    if first.thread == second.thread or first.epoch != second.epoch:
        return False
    return first.thread // 32 != second.thread // 32 or first.warp_epoch == second.warp_epoch


def drawn(generator: np.random.Generator) -> tuple[list[str], Any]:
    """The steps of a program, and for every step and thread the offset of its access in bytes, or SKIPPED.

    A few lanes access a few cells, mostly their own, so that about half of the programs have no race.
    """
    steps = [
        str(step) for step in generator.choice(["store", "load", "block", "warp"], size=STEPS, p=[0.3, 0.4, 0.2, 0.1])
    ]
    shape = STEPS, BLOCKS, THREADS
    cells = np.broadcast_to(np.arange(THREADS) % CELLS, shape).copy()
    is_random = generator.random(shape) < 0.05
    cells[is_random] = generator.integers(CELLS, size=int(is_random.sum()))
    active = generator.random(shape) < generator.choice([0.01, 0.05])
    return steps, np.where(active, cells * 4, SKIPPED).astype(np.uint32)


def accesses(steps: list[str], addresses: Any) -> list[Access]:
    result, epoch, warp_epoch = [], 0, 0
    for step, name in enumerate(steps):
        epoch += name == "block"
        warp_epoch += name in BARRIERS
        if name not in BARRIERS:
            for block, thread in np.argwhere(addresses[step] != SKIPPED).tolist():
                cell = int(addresses[step, block, thread])
                result.append(Access(block, thread, cell, name == "store", epoch, warp_epoch))
    return result


@pytest.mark.parametrize("space", ["shared", "global"])
def test_races_of_random_programs(space: str) -> None:
    generator, outcomes = np.random.default_rng(0), []
    for _ in range(150):
        steps, addresses = drawn(generator)
        body = INITIALISE
        for step, name in enumerate(steps):
            body += BARRIERS.get(name) or (
                f"ld.volatile.global.u32 %r6, [%d2+{4 * step * BLOCKS * THREADS}];"
                f"setp.ne.u32 %p2, %r6, {SKIPPED}; {(SHARED if space == 'shared' else GLOBAL)[name]}"
            )
        arrays = {"addresses": aligned(addresses), "out": aligned(np.zeros(CELLS, np.uint32))}
        variables = f".shared .align 4 .b8 tile[{4 * CELLS}];"
        report = run(body + "ret;", arrays, variables=variables, block=THREADS, grid=BLOCKS)
        pairs = itertools.combinations(accesses(steps, addresses), 2)
        has_race = any(conflict(first, second, space == "shared") for first, second in pairs)
        assert {problem.kind for problem in report.problems} <= RACES
        assert bool(report.problems) == has_race, (steps, addresses.tolist())
        outcomes.append(has_race)
    assert 30 < sum(outcomes) < 120  # both kinds of programs were drawn
