"""Splits work among the threads of PyTorch or of MAX."""

from max.algorithm import sync_parallelize
from std.atomic import Atomic, fence
from std.runtime import parallelism_level
from std.sys import is_defined

from .pool import parallel_for, pool_of_this_thread
from .torch_abi import pool_parallel_for

comptime GRAIN = 64  # elements; pieces of a flat array start at multiples

# For kernels that the engine runs on a thread of its own, as in route mojo_stock:
# waking a second worker of MAX takes up to 1 ms where OpenMP's workers spin.
comptime SERIAL_BELOW = 1 << 22  # elements times further workers
comptime PIECES = 16  # pieces per worker, so that one that wakes late takes fewer

# In the library of route mojo_aot, a kernel runs on PyTorch's thread pool, whose workers are awake after any
# parallel op of PyTorch.
comptime WITHOUT_MAX = is_defined["MOJO_OPS_WITHOUT_MAX"]()
comptime POOL_GRAIN = 1 << 15  # elements, at::internal::GRAIN_SIZE


@always_inline
def split[Body: def(Int, Int) -> None](body: Body, items: Int, elements: Int):
    """Calls `body(first, last)` over [0, items), in pieces that workers take.

    `elements` is the total amount of work, which decides whether it is split. An error raised in a task would
    abort the process, so arguments must be checked before.
    """

    def range(first: Int, last: Int) {imm}:
        body(first, last)
        fence()  # streaming stores are weakly ordered

    comptime if WITHOUT_MAX:
        if elements <= POOL_GRAIN:
            range(0, items)
        else:
            pool_parallel_for(range, items, grain_size(items, elements))
        return
    if elements <= POOL_GRAIN:
        range(0, items)
        return
    var address = pool_of_this_thread()
    if address:
        parallel_for(address, range, items, grain_size(items, elements))
        return
    var workers = min(parallelism_level(), items)
    if elements * (workers - 1) < SERIAL_BELOW:
        body(0, items)
        fence()
        return
    var pieces = min(items, PIECES * workers)
    var next_piece = Atomic[Int64](0)

    def task(i: Int) {imm, mut next_piece}:
        while True:
            var piece = Int(next_piece.fetch_add(1))
            if piece >= pieces:
                break
            body(piece * items // pieces, (piece + 1) * items // pieces)
        fence()

    sync_parallelize(task, workers)


def grain_size(items: Int, elements: Int) -> Int:
    """Items of POOL_GRAIN elements."""
    return max(1, POOL_GRAIN * items // elements)


@always_inline
def split_flat[Body: def(Int, Int) -> None](body: Body, elements: Int):
    """Splits a flat array at multiples of 64 elements, so that no two workers write the same cache line."""

    @always_inline
    def lines(first: Int, last: Int) {imm}:
        body(first * GRAIN, min(last * GRAIN, elements))

    split(lines, (elements + GRAIN - 1) // GRAIN, elements)
