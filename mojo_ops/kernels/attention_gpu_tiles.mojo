"""Attention of many query rows on a GPU without tensor cores.

For float32, for other GPUs than NVIDIA's, and for 16-bit rows that are no whole
16-byte chunks. Tiles of keys and values pass through shared memory as float32.
"""

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.warp import shuffle_xor
from std.math import exp2
from std.memory import AddressSpace, stack_allocation

from .attention_gpu_common import clamped_length, rescale, sizes_of
from .attention_tiles import INF, Sizes
from .common import F32, Ptr

comptime ROW_THREADS = 8  # of one query row where there are many


def tile_kernel[
    dtype: DType, padded: Int, rows: Int, tile: Int
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    has_lengths: Int32,
    queries: Int64,
    keys: Int64,
    heads: Int64,
    key_heads: Int64,
    dim: Int64,
    scale: Float32,
    causal: Int32,
):
    """Block (tile of rows, key head, sequence); a thread has an eighth of a row's scores and output."""
    comptime STRIDE = padded + 1  # rows begin in different banks
    comptime SCORES = tile // ROW_THREADS
    comptime OUTPUTS = padded // ROW_THREADS
    var s = sizes_of(queries, keys, heads, key_heads, dim, scale, causal)
    var held = stack_allocation[rows * STRIDE, F32, address_space=AddressSpace.SHARED]()
    var cache = stack_allocation[tile * STRIDE, F32, address_space=AddressSpace.SHARED]()
    var weights = stack_allocation[rows * tile, F32, address_space=AddressSpace.SHARED]()
    var b = Int(block_idx.z)
    var key_head = Int(block_idx.y)
    var first_row = Int(block_idx.x) * rows
    var r = Int(thread_idx.x) // ROW_THREADS
    var lane = Int(thread_idx.x) % ROW_THREADS
    var row = min(first_row + r, s.rows() - 1)
    var length = clamped_length(lengths, has_lengths, b, s.keys)
    var limit = s.limit(length, row)
    var most = s.limit(length, min(first_row + rows, s.rows()) - 1)

    var from_row = query.unsafe_offset(s.at(b, key_head, row))
    for d in range(lane, padded, ROW_THREADS):
        var x = Float32(0)
        if d < s.dim:
            x = from_row.unsafe_load(d).cast[F32]() * scale
        held.unsafe_store(r * STRIDE + d, x)
    var o = Array[Float32, OUTPUTS](fill=0)
    var maximum = -INF
    var sum = Float32(0)

    @always_inline
    def fill(source: Ptr[dtype], first: Int) {var}:
        barrier()  # of what was read before
        for i in range(Int(thread_idx.x), tile * padded, rows * ROW_THREADS):
            var j = i // padded
            var d = i % padded
            var x = Float32(0)
            if first + j < most and d < s.dim:
                x = source.unsafe_load(s.cache_at(b, first + j, key_head) + d).cast[F32]()
            cache.unsafe_store(j * STRIDE + d, x)
        barrier()

    for first in range(0, most, tile):
        fill(key, first)
        var score = Array[Float32, SCORES](fill=0)
        var now = maximum
        comptime for j in range(SCORES):
            var k = j * ROW_THREADS + lane
            var x = Float32(0)
            for d in range(padded):
                x += held.unsafe_load(r * STRIDE + d) * cache.unsafe_load(k * STRIDE + d)
            score[j] = x if first + k < limit else -INF
            now = max(now, score[j])
        comptime for step in range(3):
            now = max(now, shuffle_xor(now, UInt32(ROW_THREADS >> (step + 1))))
        var factor = rescale(maximum, now)
        var base = Float32(0) if now == -INF else now
        maximum = now
        sum *= factor
        comptime for j in range(SCORES):
            var p = exp2(score[j] - base)
            sum += p
            weights.unsafe_store(r * tile + j * ROW_THREADS + lane, p)
        fill(value, first)  # its barriers also show the weights
        comptime for i in range(OUTPUTS):
            var y = o[i] * factor
            for j in range(tile):
                y += weights.unsafe_load(r * tile + j) * cache.unsafe_load(
                    j * STRIDE + i * ROW_THREADS + lane
                )
            o[i] = y
    comptime for step in range(3):
        sum += shuffle_xor(sum, UInt32(ROW_THREADS >> (step + 1)))
    if first_row + r < s.rows():
        var to = out_.unsafe_offset(s.at(b, key_head, row))
        comptime for i in range(OUTPUTS):
            var d = i * ROW_THREADS + lane
            if d < s.dim:
                to.unsafe_store(d, (Float32(0) if limit == 0 else o[i] / sum).cast[dtype]())


def many_rows[
    dtype: DType, //, padded: Int
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    has_lengths: Bool,
    s: Sizes,
    ctx: DeviceContext,
) raises:
    comptime ROWS = 16 if padded > 128 else 32  # of queries; shared memory is 48 KB
    comptime TILE = 32 if padded == 64 else 16
    ctx.enqueue_function[tile_kernel[dtype, padded, ROWS, TILE]](
        out_,
        query,
        key,
        value,
        lengths,
        Int32(Int(has_lengths)),
        Int64(s.queries),
        Int64(s.keys),
        Int64(s.heads),
        Int64(s.key_heads),
        Int64(s.dim),
        s.scale,
        Int32(Int(s.causal)),
        grid_dim=((s.rows() + ROWS - 1) // ROWS, s.key_heads, s.batch),
        block_dim=ROWS * ROW_THREADS,
    )
