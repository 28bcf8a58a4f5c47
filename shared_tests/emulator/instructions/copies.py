"""cp.async. A copy is performed when it is waited for, so that a missing wait reads old data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from shared_tests.emulator.chunk import Chunk, Copies
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.lanes import Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.problems import MISALIGNED, EmulationError, Unsupported
from shared_tests.emulator.ptx import Register
from shared_tests.emulator.requests import COMPLETE, ISSUE


@instruction("cp .async <.ca .cg> <.shared .shared::cta> .global [.L2::cache_hint] [.L2::64B .L2::128B .L2::256B]")
def start(operands: Operands) -> Step:
    """Copies 4, 8 or 16 bytes. An optional fourth operand is how many of them are read; the others become 0.

    A cache hint adds a last operand, which changes no value.
    """
    target, source, size, position = operands.address(0), operands.address(1), operands.constant(2), operands.position
    if size not in ((16,) if "cg" in operands.modifiers else (4, 8, 16)):
        raise Unsupported(f"cp.async of {size} bytes")
    source_size = None
    if len(operands) - ("L2::cache_hint" in operands.modifiers) == 4:
        operand = operands[3]
        if isinstance(operand, Register) and operands.names.registers[operand.name][1] == 1:
            raise Unsupported("cp.async with a predicate that ignores the source")
        source_size = operands.read(operand, "u32")

    def step(chunk: Chunk, lanes: Lanes) -> None:
        origin = chunk.full(source(chunk))
        if (lanes.mask & (origin % np.uint64(size) != 0)).any():
            raise EmulationError(chunk.problems.add(MISALIGNED, position).message)
        to, size_read = chunk.full(target(chunk)), chunk.full(source_size(chunk) if source_size else np.uint32(size))
        empty = np.zeros(1, np.uint32)
        chunk.requests.store(position, lanes, "shared", to, [empty] * (size // 4), 4, counted=False, issue=ISSUE)
        copies = Copies(position, lanes.mask, to, origin, size, size_read, chunk.group)
        chunk.copies.append(copies)

    return step


@instruction("cp .async .commit_group")
def commit(operands: Operands) -> Step:
    def step(chunk: Chunk, lanes: Lanes) -> None:
        chunk.group = chunk.group + lanes.mask

    return step


@instruction("cp .async .wait_group", "cp .async .wait_all")
def wait(operands: Operands) -> Step:
    """Completes the copies of all groups but the last few that a lane committed, or of all, committed or not."""
    remaining = operands.constant(0) if operands.kind == "wait_group" else -1

    def step(chunk: Chunk, lanes: Lanes) -> None:
        finish(chunk, lambda copies: lanes.mask & (copies.group < chunk.group - remaining))

    return step


def finish(chunk: Chunk, is_done: Callable[[Copies], np.ndarray]) -> None:
    """Performs the copies of the lanes for which `is_done` is true, in the order in which they were started."""
    pending = []
    for copies in chunk.copies:
        mask = copies.mask & is_done(copies)
        if mask.any():
            perform(chunk, copies, mask)
        remaining = copies.mask & ~mask
        if remaining.any():
            pending.append(dataclasses.replace(copies, mask=remaining))
    chunk.copies = pending


def perform(chunk: Chunk, copies: Copies, mask: np.ndarray) -> None:
    position, words = copies.position, copies.size // 4
    complete = Lanes(mask & (copies.source_size >= copies.size), False)
    data = np.zeros((words, chunk.size), np.uint32)
    if complete.count:
        loaded = chunk.requests.load(position, complete, "global", copies.source, 4, words)
        data = np.where(complete.mask, loaded, data)
    partial = mask & ~complete.mask & (copies.source_size > 0)
    if partial.any():
        for byte in range(copies.size):
            lanes = Lanes(partial & (copies.source_size > byte), False)
            loaded = chunk.requests.load(position, lanes, "global", copies.source + np.uint64(byte), 1, 1)[0]
            data[byte // 4] |= np.where(lanes.mask, loaded, 0).astype(np.uint32) << np.uint32(8 * (byte % 4))
    chunk.requests.store(position, Lanes(mask, False), "shared", copies.target, list(data), 4, issue=COMPLETE)
