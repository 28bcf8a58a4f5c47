"""Attention on a GPU, without matrix units.

The heads of a group are rows beside each other, so that they share what is read
of the cache. Few rows: the cache is split over blocks, and a second kernel joins
what they found. Many rows: tiles of keys and values pass through shared memory.
Lengths outside the cache are clamped, since an error would have to wait for the
device.
"""

from max.gpu import barrier, block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.warp import shuffle_xor
from std.math import exp2
from std.memory import AddressSpace, stack_allocation
from std.sys import align_of

from .attention_tiles import INF, Sizes
from .common import F32, Ptr, aligned, gpu_width, up

comptime FEW_ROWS = 8
comptime SPLIT_THREADS = 128
comptime LANES_OF_KEY = 16
comptime TEAMS = SPLIT_THREADS // LANES_OF_KEY
comptime KEYS_AT_ONCE = 4  # of a team, so that their loads overlap
comptime LEAST_SPLIT = 128  # keys
comptime BLOCKS = 1024  # enough for every multiprocessor, several times
comptime ROW_THREADS = 8  # of one query row where there are many


@always_inline
def rescale(before: Float32, now: Float32) -> Float32:
    """Factor of what was summed under the maximum `before`; nothing was if that is -inf."""
    return Float32(0) if before == -INF else exp2(before - now)


@always_inline
def clamped_length(lengths: Ptr[DType.int64], given: Int32, b: Int, keys: Int) -> Int:
    if given == 0:
        return keys
    return min(max(Int(lengths.unsafe_load(b)), 0), keys)


@always_inline
def sizes_of(
    queries: Int64, keys: Int64, heads: Int64, key_heads: Int64, dim: Int64, scale: Float32, causal: Int32
) -> Sizes:
    return Sizes(
        batch=0,
        queries=Int(queries),
        keys=Int(keys),
        heads=Int(heads),
        key_heads=Int(key_heads),
        dim=Int(dim),
        lengths=0,
        scale=scale,
        causal=causal != 0,
    )


def split_kernel[
    dtype: DType, rows: Int, padded: Int, width: Int
](
    partial: Ptr[F32],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Int32,
    queries: Int64,
    keys: Int64,
    heads: Int64,
    key_heads: Int64,
    dim: Int64,
    scale: Float32,
    causal: Int32,
    row_tiles: Int32,
):
    """Block (split, key head and tile of rows, sequence) reads its part of the cache.

    Team t takes every TEAMS-th run of KEYS_AT_ONCE keys, each lane padded / 16
    elements of a key. `partial` gets for each row output, maximum and sum.
    """
    comptime alignment = width * align_of[dtype]()
    comptime PACKS = padded // LANES_OF_KEY // width
    comptime Held = SIMD[F32, PACKS * width]
    var s = sizes_of(queries, keys, heads, key_heads, dim, scale, causal)
    var lane = Int(thread_idx.x) % LANES_OF_KEY
    var team = Int(thread_idx.x) // LANES_OF_KEY
    var b = Int(block_idx.z)
    var key_head = Int(block_idx.y) // Int(row_tiles)
    var first_row = Int(block_idx.y) % Int(row_tiles) * rows
    var length = clamped_length(lengths, lengths_given, b, s.keys)
    var splits = Int(grid_dim.x)
    var part = (length + splits - 1) // splits
    var begin = Int(block_idx.x) * part
    var end = min(begin + part, length)

    @always_inline
    def load(p: Ptr[dtype]) {var} -> Held:
        var held = Held(0)
        comptime for i in range(PACKS):
            var d = (i * LANES_OF_KEY + lane) * width
            if d < s.dim:
                held = held.insert[offset=i * width](up[width, alignment](p, d))
        return held

    var q = Array[Held, rows](fill=0)
    var o = Array[Held, rows](fill=0)
    var maximum = Array[Float32, rows](fill=-INF)
    var sum = Array[Float32, rows](fill=0)
    var limit = Array[Int, rows](fill=0)
    comptime for r in range(rows):
        var row = min(first_row + r, s.rows() - 1)
        q[r] = load(query.unsafe_offset(s.at(b, key_head, row))) * scale
        limit[r] = s.limit(length, row)

    # All teams take the same number of turns: a shuffle needs every lane of its warp.
    for turn in range(begin, end, TEAMS * KEYS_AT_ONCE):
        var t = turn + team * KEYS_AT_ONCE
        var score = Array[Float32, rows * KEYS_AT_ONCE](fill=0)
        comptime for j in range(KEYS_AT_ONCE):
            var k = load(key.unsafe_offset(s.cache_at(b, min(t + j, end - 1), key_head)))
            comptime for r in range(rows):
                score[r * KEYS_AT_ONCE + j] = (q[r] * k).reduce_add()
        comptime for r in range(rows):
            var now = maximum[r]
            comptime for j in range(KEYS_AT_ONCE):
                var x = score[r * KEYS_AT_ONCE + j]
                comptime for step in range(4):
                    x += shuffle_xor(x, UInt32(LANES_OF_KEY >> (step + 1)))
                if t + j >= end or t + j >= limit[r]:
                    x = -INF
                score[r * KEYS_AT_ONCE + j] = x
                now = max(now, x)
            var factor = rescale(maximum[r], now)
            var base = Float32(0) if now == -INF else now
            maximum[r] = now
            sum[r] *= factor
            o[r] *= factor
            comptime for j in range(KEYS_AT_ONCE):
                var p = exp2(score[r * KEYS_AT_ONCE + j] - base)
                score[r * KEYS_AT_ONCE + j] = p
                sum[r] += p
        comptime for j in range(KEYS_AT_ONCE):
            if t + j < end:
                var v = load(value.unsafe_offset(s.cache_at(b, t + j, key_head)))
                comptime for r in range(rows):
                    o[r] = v.fma(Held(score[r * KEYS_AT_ONCE + j]), o[r])

    # The teams' results are joined in shared memory.
    var outputs = stack_allocation[TEAMS * rows * padded, F32, address_space=AddressSpace.SHARED]()
    var maxima = stack_allocation[TEAMS * rows, F32, address_space=AddressSpace.SHARED]()
    var sums = stack_allocation[TEAMS * rows, F32, address_space=AddressSpace.SHARED]()
    comptime for r in range(rows):
        comptime for i in range(PACKS * width):
            comptime pack = i // width
            var d = (pack * LANES_OF_KEY + lane) * width + i % width
            outputs.unsafe_store((team * rows + r) * padded + d, o[r][i])
        if lane == 0:
            maxima.unsafe_store(team * rows + r, maximum[r])
            sums.unsafe_store(team * rows + r, sum[r])
    barrier()
    for r in range(min(rows, s.rows() - first_row)):
        var now = -INF
        comptime for i in range(TEAMS):
            now = max(now, maxima.unsafe_load(i * rows + r))
        var total = Float32(0)
        var factor = Array[Float32, TEAMS](fill=0)
        comptime for i in range(TEAMS):
            var m = maxima.unsafe_load(i * rows + r)
            factor[i] = rescale(m, now)
            # A NaN among the scores is passed over by max and lies in the sums only.
            var x = sums.unsafe_load(i * rows + r)
            total += x if m == -INF else x * factor[i]
        var row = (b * s.key_heads + key_head) * s.rows() + first_row + r
        var to = partial.unsafe_offset((row * splits + Int(block_idx.x)) * (padded + 2))
        for d in range(Int(thread_idx.x), padded, SPLIT_THREADS):
            var y = Float32(0)
            comptime for i in range(TEAMS):
                y += outputs.unsafe_load((i * rows + r) * padded + d) * factor[i]
            to.unsafe_store(d, y)
        if thread_idx.x == 0:
            to.unsafe_store(padded, now)
            to.unsafe_store(padded + 1, total)


def join_kernel[
    dtype: DType
](
    out_: Ptr[dtype],
    partial: Ptr[F32],
    lengths: Ptr[DType.int64],
    lengths_given: Int32,
    queries: Int64,
    keys: Int64,
    heads: Int64,
    key_heads: Int64,
    dim: Int64,
    causal: Int32,
    splits: Int32,
    padded: Int32,
):
    """Block i joins the splits of row i of all key heads of all sequences."""
    var s = sizes_of(queries, keys, heads, key_heads, dim, 1, causal)
    var rows = s.rows()
    var b = Int(block_idx.x) // (s.key_heads * rows)
    var key_head = Int(block_idx.x) // rows % s.key_heads
    var row = Int(block_idx.x) % rows
    var size = Int(padded) + 2
    var pieces = partial.unsafe_offset(Int(block_idx.x) * Int(splits) * size)
    var now = -INF
    for i in range(Int(splits)):
        now = max(now, pieces.unsafe_load(i * size + Int(padded)))
    var total = Float32(0)
    for i in range(Int(splits)):
        var m = pieces.unsafe_load(i * size + Int(padded))
        var x = pieces.unsafe_load(i * size + Int(padded) + 1)
        total += x if m == -INF else x * rescale(m, now)
    # A query that sees no key gives zeros.
    var none = s.limit(clamped_length(lengths, lengths_given, b, s.keys), row) == 0
    for d in range(Int(thread_idx.x), s.dim, SPLIT_THREADS):
        var y = Float32(0)
        for i in range(Int(splits)):
            y += pieces.unsafe_load(i * size + d) * rescale(pieces.unsafe_load(i * size + Int(padded)), now)
        out_.unsafe_store(s.at(b, key_head, row) + d, (Float32(0) if none else y / total).cast[dtype]())


def tile_kernel[
    dtype: DType, padded: Int, rows: Int, tile: Int
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Int32,
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
    var length = clamped_length(lengths, lengths_given, b, s.keys)
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


def few_rows[
    dtype: DType, //, rows: Int, padded: Int, width: Int
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Bool,
    s: Sizes,
    ctx: DeviceContext,
) raises:
    var row_tiles = (s.rows() + rows - 1) // rows
    var blocks = s.batch * s.key_heads * row_tiles
    var most = max(1, (s.keys + LEAST_SPLIT - 1) // LEAST_SPLIT)
    var splits = min(max(BLOCKS // blocks, 1), most)
    var all_rows = s.batch * s.key_heads * s.rows()
    var partial = ctx.enqueue_create_buffer[F32](all_rows * splits * (padded + 2))
    ctx.enqueue_function[split_kernel[dtype, rows, padded, width]](
        partial.unsafe_ptr(),
        query,
        key,
        value,
        lengths,
        Int32(Int(lengths_given)),
        Int64(s.queries),
        Int64(s.keys),
        Int64(s.heads),
        Int64(s.key_heads),
        Int64(s.dim),
        s.scale,
        Int32(Int(s.causal)),
        Int32(row_tiles),
        grid_dim=(splits, s.key_heads * row_tiles, s.batch),
        block_dim=SPLIT_THREADS,
    )
    ctx.enqueue_function[join_kernel[dtype]](
        out_,
        partial.unsafe_ptr(),
        lengths,
        Int32(Int(lengths_given)),
        Int64(s.queries),
        Int64(s.keys),
        Int64(s.heads),
        Int64(s.key_heads),
        Int64(s.dim),
        Int32(Int(s.causal)),
        Int32(splits),
        Int32(padded),
        grid_dim=all_rows,
        block_dim=SPLIT_THREADS,
    )
    _ = partial^


def many_rows[
    dtype: DType, //, padded: Int
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Bool,
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
        Int32(Int(lengths_given)),
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


def attention_gpu[
    dtype: DType, //
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Bool,
    s: Sizes,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[padded: Int]() raises {var, imm ctx}:
        comptime WIDTH = min(gpu_width[dtype](), padded // LANES_OF_KEY)
        comptime ROWS = 8 if padded <= 128 else 4  # more do not fit in registers
        if s.rows() > FEW_ROWS:
            many_rows[padded](out_, query, key, value, lengths, lengths_given, s, ctx)
        elif s.dim % gpu_width[dtype]() or not (aligned(query) and aligned(key) and aligned(value)):
            few_rows[4, padded, 1](out_, query, key, value, lengths, lengths_given, s, ctx)
        elif s.rows() == 1:
            few_rows[1, padded, WIDTH](out_, query, key, value, lengths, lengths_given, s, ctx)
        elif s.rows() > 4:
            few_rows[ROWS, padded, WIDTH](out_, query, key, value, lengths, lengths_given, s, ctx)
        else:
            few_rows[4, padded, WIDTH](out_, query, key, value, lengths, lengths_given, s, ctx)

    if s.dim <= 64:
        launch[64]()
    elif s.dim <= 128:
        launch[128]()
    else:
        launch[256]()
