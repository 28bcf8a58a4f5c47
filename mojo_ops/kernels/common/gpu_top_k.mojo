"""Op top_k on a GPU; see top_k.mojo.

Short rows: a warp a row, whose lanes hold the elements and agree on the largest k
times. Others: a block a row. Its threads find the largest of their elements, whose
k-th largest is a bound that k elements reach; those that do, hardly more than k,
are collected in shared memory, where each counts how many come before it.

An element stands for itself as 64 bits, its key above its inverted index: they are
all different and in the order of the result. Their order of arrival plays no part.
"""

from max.gpu import WARP_SIZE, barrier, block_idx, lane_id, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp
from std.atomic import Atomic, Ordering
from std.memory import Pointer, bitcast, stack_allocation
from std.sys import align_of, is_nvidia_gpu

from .gpu import BLOCK, aligned, gpu_width
from .gpu_block import block_count, block_sum
from .keys import keys_of
from .vectors import Ptr, up

comptime MAX_K = 256
comptime THREADS = 1024  # of a block that has a row for itself
comptime ROOM = 2048  # candidates
comptime WARP_K = 32  # largest k of the warp kernel
comptime U64 = DType.uint64


@always_inline
def ordered_keys[
    dtype: DType, //, width: Int, alignment: Int
](x: Ptr[dtype], i: Int) -> SIMD[DType.uint32, width]:
    return bitcast[DType.uint32, width](keys_of(up[width, alignment](x, i))) ^ 0x80000000


@always_inline
def with_index(key: UInt32, i: Int) -> UInt64:
    return UInt64(key) << 32 | UInt64(~UInt32(i))


@always_inline
def write[
    dtype: DType, //
](values: Ptr[dtype], indices: Ptr[DType.int64], x: Ptr[dtype], element: UInt64, rank: Int):
    var i = Int(~UInt32(element & 0xFFFFFFFF))
    values.unsafe_store(rank, x.unsafe_load(i))
    indices.unsafe_store(rank, Int64(i))


@always_inline
def next_place(count: Pointer[Int32, MutUntrackedOrigin, address_space=AddressSpace.SHARED]) -> Int:
    """Counts up for the block alone, without an order to other accesses: barriers follow."""
    comptime BLOCK_SCOPE = "block" if is_nvidia_gpu() else "workgroup"  # LLVM's names
    return Int(Atomic[Int32, scope=BLOCK_SCOPE].fetch_add[ordering=Ordering.RELAXED](count, 1))


def warp_kernel[
    dtype: DType, held: Int
](values: Ptr[dtype], indices: Ptr[DType.int64], x: Ptr[dtype], rows: Int64, columns: Int32, k: Int32):
    """A warp a row of at most `held` elements a lane; `k` is at most 32."""
    comptime ROWS = BLOCK // WARP_SIZE
    var n = Int(columns)
    var row = Int(block_idx.x) * ROWS + Int(thread_idx.x) // WARP_SIZE
    if row >= Int(rows):
        return
    var lane = Int(lane_id())
    var xr = x.unsafe_offset(row * n)
    var elements = SIMD[U64, held](0)
    comptime for r in range(held):
        var i = lane + r * WARP_SIZE
        if i < n:
            elements[r] = with_index(ordered_keys[1, align_of[dtype]()](xr, i)[0], i)
    var selected = UInt64(0)
    for rank in range(Int(k)):
        var best = elements.reduce_max()
        var offset = UInt32(WARP_SIZE // 2)
        while offset > 0:
            var high = warp.shuffle_xor(UInt32(best >> 32), offset)
            var low = warp.shuffle_xor(UInt32(best & 0xFFFFFFFF), offset)
            best = max(best, UInt64(high) << 32 | UInt64(low))
            offset //= 2
        elements = elements.eq(best).select(SIMD[U64, held](0), elements)
        if lane == rank:
            selected = best
    if lane < Int(k):
        write(values.unsafe_offset(row * Int(k)), indices.unsafe_offset(row * Int(k)), xr, selected, lane)


def block_kernel[
    dtype: DType, width: Int
](values: Ptr[dtype], indices: Ptr[DType.int64], x: Ptr[dtype], columns: Int64, k: Int32):
    """One block a row; `columns` is a multiple of `width`."""
    comptime alignment = width * align_of[dtype]()
    var elements = stack_allocation[ROOM, U64, address_space=AddressSpace.SHARED]()
    var count = stack_allocation[1, DType.int32, address_space=AddressSpace.SHARED]()
    var n = Int(columns)
    var thread = Int(thread_idx.x)
    var row = Int(block_idx.x)
    var xr = x.unsafe_offset(row * n)

    var top = UInt32(0)  # below every key
    for i in range(thread * width, n, THREADS * width):
        top = max(top, ordered_keys[width, alignment](xr, i).reduce_max())

    # The k-th largest of the maxima, bit by bit.
    var bound = UInt32(0)
    var bit = UInt32(1) << 31
    while bit > 0:
        var reach = block_count(top >= (bound | bit))
        if reach >= k:
            bound |= bit
        bit >>= 1

    if thread == 0:
        count[unsafe_offset=0] = 0
    barrier()
    for i in range(thread * width, n, THREADS * width):
        var keys = ordered_keys[width, alignment](xr, i)
        comptime for j in range(width):
            if keys[j] >= bound:
                var at = next_place(count)
                if at < ROOM:
                    elements.unsafe_store(at, with_index(keys[j], i + j))
    barrier()
    var candidates = Int(count[unsafe_offset=0])

    if candidates > ROOM:
        # Thousands of equal elements: the k-th itself is looked for, a pass over the row for each bit.
        var least = UInt64(0)
        var bit64 = UInt64(1) << 63
        while bit64 > 0:
            var matches = Int32(0)
            for i in range(thread * width, n, THREADS * width):
                var keys = ordered_keys[width, alignment](xr, i)
                comptime for j in range(width):
                    if with_index(keys[j], i + j) >= (least | bit64):
                        matches += 1
            # No thread counts so far that the sum could overflow.
            var reach = block_sum(min(matches, Int32(MAX_K + 1)))
            if reach >= k:
                least |= bit64
            if reach == k:
                break
            bit64 >>= 1
        if thread == 0:
            count[unsafe_offset=0] = 0
        barrier()
        for i in range(thread * width, n, THREADS * width):
            var keys = ordered_keys[width, alignment](xr, i)
            comptime for j in range(width):
                var element = with_index(keys[j], i + j)
                if element >= least:
                    elements.unsafe_store(next_place(count), element)
        barrier()
        candidates = Int(k)

    for c in range(thread, candidates, THREADS):
        var element = elements.unsafe_load(c)
        var rank = 0
        for j in range(candidates):
            rank += 1 if elements.unsafe_load(j) > element else 0
        if rank < Int(k):
            write(values.unsafe_offset(row * Int(k)), indices.unsafe_offset(row * Int(k)), xr, element, rank)


def top_k_gpu[
    dtype: DType, //
](
    values: Ptr[dtype],
    indices: Ptr[DType.int64],
    x: Ptr[dtype],
    rows: Int,
    n: Int,
    k: Int,
    ctx: DeviceContext,
) raises:
    @always_inline
    def by_warp[held: Int]() raises {var, imm ctx}:
        # As for warps of 32: where they are wider, the last blocks have nothing to do.
        ctx.enqueue_function[warp_kernel[dtype, held]](
            values,
            indices,
            x,
            Int64(rows),
            Int32(n),
            Int32(k),
            grid_dim=(rows * 32 + BLOCK - 1) // BLOCK,
            block_dim=BLOCK,
        )

    @always_inline
    def by_block[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[block_kernel[dtype, width]](
            values, indices, x, Int64(n), Int32(k), grid_dim=rows, block_dim=THREADS
        )

    comptime WIDTH = gpu_width[dtype]()
    if n <= 8 * 32 and k <= WARP_K:
        by_warp[8]()
    elif n <= 32 * 32 and k <= WARP_K:
        by_warp[32]()
    elif n % WIDTH == 0 and aligned(x):
        by_block[WIDTH]()
    else:
        by_block[1]()
