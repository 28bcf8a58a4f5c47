"""Runs the lanes of a chunk: those at the lowest position go first, so that lanes that diverged meet again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.control import Barrier, Branch, Exit, Trap
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.problems import DIFFERENT_BARRIERS, DIVERGENT_BARRIER, EmulationError
from shared_tests.emulator.program import Step


@dataclass(frozen=True)
class Arrival:
    """Lanes that wait at a barrier, with the predicates of a reduction."""

    position: int
    lanes: Lanes
    barrier: Barrier
    votes: Any


class Scheduler:
    """Executes the steps of a program for one chunk.

    executed: warp instructions by position, added to. deadline: in seconds of time.monotonic().
    """

    def __init__(self, steps: Sequence[Step], chunk: Chunk, executed: list[int], deadline: float):
        self.steps, self.chunk, self.executed, self.deadline = steps, chunk, executed, deadline
        self.ready: dict[int, Any] = {}  # masks of the lanes that wait for their turn, by position
        self.arrived: list[Arrival] = []
        self.live_count = int(np.count_nonzero(chunk.alive))

    def run(self) -> None:
        """Runs all lanes to their end. Raises EmulationError for an instruction that stops, or after the deadline."""
        self._add(0, self.chunk.alive)
        while self.ready or self.arrived:
            if not self.ready:
                self._release()
            position = min(self.ready)
            self._run(position, self._lanes(self.ready.pop(position)))

    def _lanes(self, mask: Any) -> Lanes:
        count = int(np.count_nonzero(mask))
        return Lanes(mask, count == self.live_count, count)

    def _add(self, position: int, mask: Any) -> None:
        waiting_mask = self.ready.get(position)
        self.ready[position] = mask if waiting_mask is None else waiting_mask | mask

    def _guarded(self, register: int, negated: bool, lanes: Lanes) -> Lanes:
        """The lanes whose predicate holds, or does not if it is negated."""
        predicate = self.chunk.registers[register]
        mask = lanes.mask & (~predicate if negated else predicate)
        count = int(np.count_nonzero(mask))
        return lanes if count == lanes.count else Lanes(mask, False, count)

    def _run(self, position: int, lanes: Lanes) -> None:
        """Runs lanes straight ahead until they branch apart, wait, end, or reach others that wait for their turn."""
        chunk, steps, executed, requests = self.chunk, self.steps, self.executed, self.chunk.requests
        stop = min(self.ready, default=len(steps))
        while position < stop:
            step = steps[position]
            active = lanes if step.guard is None else self._guarded(step.guard, step.negated, lanes)
            if not active.count:
                position += 1
                continue
            executed[position] += active.warps
            requests.time += 1
            control = step.run(chunk, active)
            if control is None:
                position += 1
                continue
            if time.monotonic() > self.deadline:
                raise EmulationError("time limit of the launch exceeded")
            if isinstance(control, Branch) and active is lanes and control.target < stop:
                position = control.target
                continue
            self._leave(position, active, control)
            if active is not lanes:
                self._add(position + 1, lanes.mask & ~active.mask)
            return
        if position < len(steps):
            self._add(position, lanes.mask)
        else:
            self._end(lanes)

    def _leave(self, position: int, lanes: Lanes, control: Any) -> None:
        if isinstance(control, Branch):
            self._add(control.target, lanes.mask)
        elif isinstance(control, Exit):
            self._end(lanes)
        elif isinstance(control, Barrier):
            self._arrive(position, lanes, control)
        elif isinstance(control, Trap):
            raise EmulationError("the kernel executed a trap instruction")

    def _end(self, lanes: Lanes) -> None:
        self.chunk.alive = self.chunk.alive & ~lanes.mask
        self.live_count -= lanes.count

    # Barriers

    def _arrive(self, position: int, lanes: Lanes, barrier: Barrier) -> None:
        if barrier.aligned and not lanes.is_whole:
            alive = Lanes(self.chunk.alive, False, self.live_count).warp_masks
            if (alive & ~lanes.warp_masks)[lanes.warp_masks != 0].any():
                self.chunk.problems.add(DIVERGENT_BARRIER, position)
        votes = barrier.predicate(self.chunk) & lanes.mask if barrier.predicate else None
        self.arrived.append(Arrival(position, lanes, barrier, votes))

    def _release(self) -> None:
        """Lets the lanes go on from their barriers; by now all live lanes of every block have arrived."""
        arrived, self.arrived = self.arrived, []
        requests = self.chunk.requests
        if len({arrival.position for arrival in arrived}) > 1:
            self._check_same_barrier(arrived)
        for position in sorted({arrival.position for arrival in arrived}):
            arrivals = [arrival for arrival in arrived if arrival.position == position]
            mask = np.logical_or.reduce([arrival.lanes.mask for arrival in arrivals])
            barrier = arrivals[0].barrier
            if barrier.reduction:
                votes = np.logical_or.reduce([arrival.votes for arrival in arrivals])
                self._write_votes(barrier, mask, votes)
            self._add(position + 1, mask)
        requests.barrier_time[...] = requests.time

    def _blocks(self, lanes: Any) -> Any:
        """An array over lanes as [blocks, lanes of a block]."""
        return lanes.reshape(len(self.chunk.requests.barrier_time), -1)

    def _write_votes(self, barrier: Barrier, mask: Any, votes: Any) -> None:
        by_block = self._blocks(votes)
        if barrier.reduction == "popc":
            results = np.count_nonzero(by_block, axis=1).astype(np.uint32)
        elif barrier.reduction == "and":
            results = (by_block | ~self._blocks(mask)).all(axis=1)
        else:
            results = by_block.any(axis=1)
        assert barrier.write is not None
        barrier.write(self.chunk, self._lanes(mask), np.repeat(results, by_block.shape[1]))

    def _check_same_barrier(self, arrived: Sequence[Arrival]) -> None:
        positions = np.full(self.chunk.size, -1)
        for arrival in arrived:
            positions[arrival.lanes.mask] = arrival.position
        for block in self._blocks(positions):
            different = np.unique(block[block >= 0])
            if len(different) > 1:
                self.chunk.problems.add(DIFFERENT_BARRIERS, int(different[0]))
