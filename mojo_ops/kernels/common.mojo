"""What every kernel shares: conversion to and from float32, loops, threads."""

from max.algorithm import sync_parallelize
from max.gpu import block_idx, thread_idx
from std.atomic import Atomic, fence
from std.memory import Pointer, bitcast
from std.runtime import parallelism_level
from std.sys import PrefetchOptions, align_of, is_defined, is_gpu, simd_width_of, size_of
from std.sys.intrinsics import prefetch

from .bfloat16 import to_bf16
from .torch_abi import pool_parallel_for

comptime F32 = DType.float32
comptime FLOATS: List[DType] = [DType.float32, DType.bfloat16, DType.float16]
comptime Ptr[dtype: DType] = Pointer[Scalar[dtype], MutAnyOrigin]

comptime LANES = simd_width_of[F32]()
comptime GRAIN = 64  # elements; pieces of a flat array start at multiples
comptime UNROLLED = 4 * LANES  # four independent chains hide the fma latency

# Waking a second worker costs 50 us where its core is free, and 300-1000 us where
# another thread spins on it, as OpenMP's do for a while after each of PyTorch's
# own ops. On two cores, alone / split: rope of 2^21 elements 0.3 / 1.1 ms beside
# OpenMP, rms_norm 0.95 / 1.6; gelu of 2^22 0.95 / 0.6 ms on free cores. More
# workers have more to gain, so the bound falls with them (not measured).
comptime SERIAL_BELOW = 1 << 22  # elements times further workers
comptime PIECES = 16  # for each worker: one that wakes late finds less to do

# Built as a library of its own (route mojo_aot) a kernel runs on the thread pool
# of PyTorch, whose workers are awake after any of PyTorch's own parallel ops.
comptime WITHOUT_MAX = is_defined["MOJO_OPS_WITHOUT_MAX"]()
comptime POOL_GRAIN = 1 << 15  # elements, at::internal::GRAIN_SIZE

# An output of this many bytes leaves the cache before anyone reads it. Written
# past the cache it need not be fetched first: rms_norm 2.5 -> 1.6 ms, rope
# 12.6 -> 9.9, add 3.6 -> 3.0, gelu 0.85 -> 0.64 at sizes of 16 to 134 MB.
comptime STREAM_BYTES = 1 << 24
comptime CACHE_LINE = 64

# A fresh output of this many bytes is mapped anew by glibc: its pages are zeroed
# when first touched and then lie in the cache, which streaming stores throw away.
comptime MAPPED_BYTES = 1 << 25

comptime BLOCK = 256  # GPU threads in a block
comptime VECTOR_BYTES = 16  # widest load of a GPU thread


@always_inline
def up[
    dtype: DType, //, width: Int, alignment: Int = align_of[dtype]()
](p: Ptr[dtype], i: Int) -> SIMD[F32, width]:
    """Loads `width` elements as float32.

    Bfloat16 on a CPU is widened by a shift: LLVM moves a comparison of two casts in front of them, where without
    AVX512-BF16 it is done element by element.
    """
    var v = p.unsafe_load[width=width, alignment=alignment](i)
    comptime if dtype == DType.bfloat16 and not is_gpu():
        return bitcast[F32, width](bitcast[DType.uint16, width](v).cast[DType.uint32]() << 16)
    else:
        return v.cast[F32]()


@always_inline
def down[dtype: DType, width: SIMDLength](v: SIMD[F32, width]) -> SIMD[dtype, width]:
    """Rounds float32 to `dtype`, to nearest even."""
    comptime if dtype == DType.bfloat16 and not is_gpu():
        return rebind[SIMD[dtype, width]](to_bf16(v))
    else:
        return v.cast[dtype]()


@always_inline
def put[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](p: Ptr[dtype], i: Int, v: SIMD[F32, width]):
    """Rounds to `dtype` and stores, past the cache if `stream`."""
    comptime if stream:
        comptime line = min(CACHE_LINE, width * size_of[dtype]())
        p.unsafe_store[alignment=line, non_temporal=True](i, down[dtype](v))
    else:
        p.unsafe_store[alignment=alignment](i, down[dtype](v))


@always_inline
def prefetch_row[dtype: DType, //, width: Int](next: Ptr[dtype], i: Int):
    """Asks for the lines with `width` elements of the next row while this one is computed: what
    has to wait for two passes over a row would otherwise leave the memory idle."""
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            prefetch(next.unsafe_offset(i + k))


@always_inline
def fetch[dtype: DType, //](p: Pointer[Scalar[dtype], _]):
    """Asks for a line into the second-level cache, whose misses may be more at a time than the first one's, and of which
    rows a page apart do not share a few lines. An address behind the tensor is no fault."""
    prefetch[PrefetchOptions().for_read().medium_locality().to_data_cache()](p)


@always_inline
def fetch_along[dtype: DType, //, width: Int](row: Ptr[dtype], i: Int):
    """In the first pass over a row that is written past the cache, at its element i: asks for what lies some lines on.

    It takes over from `prefetch_row` at the row's beginning. In C++ rms_norm of 2048x4096 float32, two cores of a Zen
    4, GB/s without, from the second pass alone and from both: 39, 43 and 46. Within the caches the two cost the norms
    up to a tenth.
    """
    comptime AHEAD = 4096 // size_of[dtype]()
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            fetch(row.unsafe_offset(i + AHEAD + k))


@always_inline
def streams[dtype: DType, //](y: Ptr[dtype], elements: Int, row: Int, fresh: Bool) -> Bool:
    """Whether an output is large enough to be written past the cache, and every
    `row` elements of it begin a cache line as streaming stores want it.

    `fresh`: it was allocated for this call."""
    var bytes = elements * size_of[dtype]()
    return (
        bytes >= STREAM_BYTES
        and not (fresh and bytes >= MAPPED_BYTES)
        and Int(y) % CACHE_LINE == 0
        and row * size_of[dtype]() % CACHE_LINE == 0
    )


@always_inline
def vector_loop[
    Body: def[width: Int, stream: Bool](Int) -> None
](body: Body, first: Int, last: Int, stream: Bool = False):
    """Calls `body` for [first, last): unrolled, then by register, then singly.

    The middle step matters for short rows: with AVX-512 the unrolled step is 64
    elements, as long as a whole attention head.
    """
    var i = first
    if stream:
        while i + UNROLLED <= last:
            body[UNROLLED, True](i)
            i += UNROLLED
    while i + UNROLLED <= last:
        body[UNROLLED, False](i)
        i += UNROLLED
    while i + LANES <= last:
        body[LANES, False](i)
        i += LANES
    while i < last:
        body[1, False](i)
        i += 1


@always_inline
def split[Body: def(Int, Int) -> None](body: Body, items: Int, elements: Int):
    """Calls `body(first, last)` over [0, items), in pieces that workers take.

    `elements` is the size of the whole work and decides whether it is split.
    A raise inside a task would abort the process: check arguments before.
    """
    comptime if WITHOUT_MAX:

        def range(first: Int, last: Int) {imm}:
            body(first, last)
            fence()  # streaming stores are weakly ordered

        if elements <= POOL_GRAIN:
            range(0, items)
        else:
            pool_parallel_for(range, items, max(1, POOL_GRAIN * items // elements))
        return
    var workers = min(parallelism_level(), items)
    if elements * (workers - 1) < SERIAL_BELOW:
        body(0, items)
        fence()
        return
    var pieces = min(items, PIECES * workers)
    var taken = Atomic[Int64](0)

    def task(i: Int) {imm, mut taken}:
        while True:
            var piece = Int(taken.fetch_add(1))
            if piece >= pieces:
                break
            body(piece * items // pieces, (piece + 1) * items // pieces)
        fence()

    sync_parallelize(task, workers)


@always_inline
def split_flat[Body: def(Int, Int) -> None](body: Body, elements: Int):
    """Splits a flat array at multiples of 64 elements, so no two workers write
    one cache line."""

    @always_inline
    def lines(first: Int, last: Int) {imm}:
        body(first * GRAIN, min(last * GRAIN, elements))

    split(lines, (elements + GRAIN - 1) // GRAIN, elements)


@always_inline
def gpu_width[dtype: DType]() -> Int:
    """Elements in the widest load of a GPU thread."""
    return VECTOR_BYTES // size_of[dtype]()


@always_inline
def aligned[dtype: DType, //](p: Ptr[dtype]) -> Bool:
    """Whether `p` allows the widest GPU load."""
    return Int(p) % VECTOR_BYTES == 0


@always_inline
def gpu_item() -> Int:
    """Index of this thread in a one-dimensional grid."""
    return Int(block_idx.x) * BLOCK + Int(thread_idx.x)
