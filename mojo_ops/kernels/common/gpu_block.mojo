"""Reductions over the threads of a GPU block.

`block.sum` of MAX 26.7 adds up the elements of a vector too (reports/upstream/block_sum_vector.py). These
functions keep the elements apart, and work for any number of whole warps.
"""

from max.gpu import WARP_SIZE, barrier, block_dim, lane_id, thread_idx
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp
from std.bit import pop_count
from std.memory import stack_allocation
from std.sys import size_of

comptime MOST_WARPS = 32  # 1,024 threads in warps of 32


@always_inline
def reduce_warp[
    dtype: DType,
    count: SIMDLength,
    Combine: def(SIMD[dtype, count], SIMD[dtype, count]) -> SIMD[dtype, count],
    //,
](values: SIMD[dtype, count], combine: Combine) -> SIMD[dtype, count]:
    """Combines `values` of all lanes element by element; every lane gets the same bits."""
    var result = values
    comptime for step in range(6):
        comptime offset = (32 >> step)
        comptime if offset < WARP_SIZE:
            var other = SIMD[dtype, count]()
            comptime for i in range(Int(count)):
                other[i] = warp.shuffle_xor(result[i], UInt32(offset))
            result = combine(result, other)
    return result


@always_inline
def reduce_warps[
    dtype: DType,
    count: SIMDLength,
    Combine: def(SIMD[dtype, count], SIMD[dtype, count]) -> SIMD[dtype, count],
    //,
](of_warp: SIMD[dtype, count], neutral: Scalar[dtype], combine: Combine) -> SIMD[dtype, count]:
    """Combines the values of the block's warps element by element; every thread gets the same bits.

    All threads of the block must call it. `neutral` combined with a value gives that value.
    """
    comptime alignment = Int(count) * size_of[dtype]()
    var partial = stack_allocation[
        MOST_WARPS * Int(count), dtype, alignment=alignment, address_space=AddressSpace.SHARED
    ]()
    barrier()  # a call in an earlier iteration may still be reading
    if lane_id() == 0:
        partial.unsafe_store[alignment=alignment](Int(thread_idx.x) // WARP_SIZE * Int(count), of_warp)
    barrier()
    var of_lane = SIMD[dtype, count](neutral)
    var lane = Int(lane_id())
    if lane < Int(block_dim.x) // WARP_SIZE:
        of_lane = partial.unsafe_load[width=count, alignment=alignment](lane * Int(count))
    return reduce_warp(of_lane, combine)


@always_inline
def block_sum[dtype: DType, count: SIMDLength, //](values: SIMD[dtype, count]) -> SIMD[dtype, count]:
    """Sums over the block, one for each element."""

    @always_inline
    def add(a: SIMD[dtype, count], b: SIMD[dtype, count]) {} -> SIMD[dtype, count]:
        return a + b

    return reduce_warps(reduce_warp(values, add), 0, add)


@always_inline
def block_count(condition: Bool) -> Int32:
    """The number of threads of the block for which `condition` is true."""
    comptime MASK = DType.uint64 if WARP_SIZE == 64 else DType.uint32

    @always_inline
    def add(a: Int32, b: Int32) {} -> Int32:
        return a + b

    return reduce_warps(pop_count(warp.vote[MASK](condition)).cast[DType.int32](), 0, add)


@always_inline
def block_max(value: Float32) -> Float32:
    """The largest value of the block's threads, passing over NaN."""

    @always_inline
    def larger(a: Float32, b: Float32) {} -> Float32:
        return max(a, b)

    return reduce_warps(reduce_warp(value, larger), Float32.MIN, larger)
