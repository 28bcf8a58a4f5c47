"""Branches, barriers and fences."""

from __future__ import annotations

import numpy as np

from shared_tests.emulator.chunk import Chunk
from shared_tests.emulator.control import Barrier, Branch, Exit, Trap
from shared_tests.emulator.forms import Step, instruction
from shared_tests.emulator.instructions.warps import require_members
from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.operands import Operands
from shared_tests.emulator.problems import Unsupported
from shared_tests.emulator.ptx import Immediate, Symbol


@instruction("bra [.uni]")
def bra(operands: Operands) -> Step:
    label = operands[0]
    if not isinstance(label, Symbol):
        raise Unsupported("a branch without a label")
    branch = Branch(operands.names.labels[label.name])
    return lambda chunk, lanes: branch


@instruction("ret [.uni]", "exit")
def leave(operands: Operands) -> Step:
    end = Exit()
    return lambda chunk, lanes: end


@instruction("trap")
def trap(operands: Operands) -> Step:
    end = Trap()
    return lambda chunk, lanes: end


def require_whole_block(operands: Operands, index: int, count: int) -> None:
    """Only barrier 0 of all threads of a block is implemented."""
    number = operands[index]
    if not isinstance(number, Immediate) or int(number.text, 0) or len(operands) != count:
        raise Unsupported("a barrier of part of a block")


@instruction("bar [.cta] .sync", "barrier [.cta] .sync [.aligned]")
def barrier(operands: Operands) -> Step:
    require_whole_block(operands, 0, 1)
    wait = Barrier(operands.instruction.opcode.startswith("bar.") or "aligned" in operands.modifiers)
    return lambda chunk, lanes: wait


@instruction(
    "bar [.cta] .red .popc .u32",
    "bar [.cta] .red <.and .or> .pred",
    "barrier [.cta] .red .popc [.aligned] .u32",
    "barrier [.cta] .red <.and .or> [.aligned] .pred",
)
def reducing_barrier(operands: Operands) -> Step:
    """A barrier that gives every lane the number of true predicates, or whether all or any are true."""
    require_whole_block(operands, 1, 3)
    aligned = operands.instruction.opcode.startswith("bar.") or "aligned" in operands.modifiers
    wait = Barrier(
        aligned,
        operands.modifier_among("popc", "and", "or"),
        operands.source(2, "pred"),
        operands.target(0, operands.kind),
    )
    return lambda chunk, lanes: wait


@instruction("bar .warp .sync")
def warp_barrier(operands: Operands) -> Step:
    members, position = operands.source(0, "u32"), operands.position

    def step(chunk: Chunk, lanes: Lanes) -> None:
        mask = members(chunk)
        if not lanes.is_whole:  # lanes that have ended are not waited for
            mask = mask & np.repeat(Lanes(chunk.alive, True).warp_masks, WARP)
        elif not lanes.whole_warps:
            mask = mask & np.repeat(lanes.warp_masks, WARP)
        require_members(chunk, lanes, position, mask)
        requests = chunk.requests
        requests.warp_time[lanes.warp_masks != 0] = requests.time

    return step


@instruction("membar <.cta .gl .sys>", "fence <.sc .acq_rel .acquire .release> <.cta .cluster .gpu .sys>")
def fence(operands: Operands) -> Step:
    if operands.kind == "cta":
        return lambda chunk, lanes: None
    return lambda chunk, lanes: chunk.fence(lanes)


def released(barrier: Barrier, votes: np.ndarray) -> np.ndarray:
    """The result of a reduction over the predicates of a block's lanes."""
    if barrier.reduction == "popc":
        return np.full(len(votes), np.count_nonzero(votes), np.uint32)
    return np.full(len(votes), votes.all() if barrier.reduction == "and" else votes.any())
