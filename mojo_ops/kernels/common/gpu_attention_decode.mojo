"""Attention of few query rows on a GPU: the cache is split over blocks, and a second kernel joins them.

Decoding is bound by reading the cache, so that every split reads its keys and values
once, 16 bytes a lane, for all rows of a key head. The heads of a group are such rows.
A block leaves for each row its output, not yet divided, and the maximum and sum of
its scores; `join_kernel` rescales these to the common maximum, reading each once.
"""

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.warp import shuffle_xor
from std.math import exp2
from std.memory import AddressSpace, stack_allocation
from std.sys import align_of, size_of

from .gpu_attention_common import checked_blocks, clamped_length, rescale, sizes_of
from .attention_tiles import INF, Sizes
from .vectors import F32, Ptr, put, up

comptime SPLIT_THREADS = 128
comptime LANES_OF_KEY = 16
comptime TEAMS = SPLIT_THREADS // LANES_OF_KEY
comptime KEYS_AT_ONCE = 4  # of a team, so that their loads overlap
comptime LEAST_SPLIT = 128  # keys
comptime BLOCKS = 1024  # enough for every multiprocessor, several times
comptime JOIN_LANES = 32  # of one row
comptime JOIN_ROWS = SPLIT_THREADS // JOIN_LANES


@always_inline
def slot(team: Int, d: Int) -> Int:
    """Place in shared memory of element d of a team's output.

    Lanes store runs of up to eight elements as 16-byte vectors, and two teams share a warp: every other 32 elements
    swap their vectors, and odd teams swap halves of 16, so that the lanes of a request meet no bank twice.
    """
    return d ^ (d // 32 % 2 * 4) ^ (team % 2 * 16)


def split_kernel[
    dtype: DType, rows: Int, padded: Int, width: Int
](
    partial: Ptr[F32],
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
    row_tiles: Int32,
    splits: Int32,
    all_rows: Int64,
):
    """Block (sequence, key head, tile of rows, split), the split counting fastest, reads its part of the cache.

    Team t takes every TEAMS-th run of KEYS_AT_ONCE keys, each lane padded / 16 elements of a key. `partial` gets
    [all_rows, splits, padded] outputs and behind them [all_rows, splits, 2] maxima and sums.
    """
    comptime alignment = width * align_of[dtype]()
    comptime PACKS = padded // LANES_OF_KEY // width
    comptime Registers = SIMD[F32, PACKS * width]
    var s = sizes_of(queries, keys, heads, key_heads, dim, scale, causal)
    var lane = Int(thread_idx.x) % LANES_OF_KEY
    var team = Int(thread_idx.x) // LANES_OF_KEY
    var split = Int(block_idx.x) % Int(splits)
    var tile = Int(block_idx.x) // Int(splits)
    var first_row = tile % Int(row_tiles) * rows
    var head_index = tile // Int(row_tiles)
    var key_head = head_index % s.key_heads
    var b = head_index // s.key_heads
    var length = clamped_length(lengths, has_lengths, b, s.keys)
    var part = (length + Int(splits) - 1) // Int(splits)
    var begin = split * part
    var end = min(begin + part, length)

    @always_inline
    def load(p: Ptr[dtype]) {var} -> Registers:
        var elements = Registers(0)
        comptime for i in range(PACKS):
            var d = (i * LANES_OF_KEY + lane) * width
            if d < s.dim:
                elements = elements.insert[offset=i * width](up[width, alignment](p, d))
        return elements

    var q = Array[Registers, rows](fill=0)
    var o = Array[Registers, rows](fill=0)
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
            var current_maximum = maximum[r]
            comptime for j in range(KEYS_AT_ONCE):
                var x = score[r * KEYS_AT_ONCE + j]
                comptime for step in range(4):
                    x += shuffle_xor(x, UInt32(LANES_OF_KEY >> (step + 1)))
                if t + j >= end or t + j >= limit[r]:
                    x = -INF
                score[r * KEYS_AT_ONCE + j] = x
                current_maximum = max(current_maximum, x)
            var factor = rescale(maximum[r], current_maximum)
            var base = Float32(0) if current_maximum == -INF else current_maximum
            maximum[r] = current_maximum
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
                    o[r] = v.fma(Registers(score[r * KEYS_AT_ONCE + j]), o[r])

    # Combines the results of the teams in shared memory.
    var outputs = stack_allocation[TEAMS * rows * padded, F32, address_space=AddressSpace.SHARED]()
    var maxima = stack_allocation[TEAMS * rows, F32, address_space=AddressSpace.SHARED]()
    var sums = stack_allocation[TEAMS * rows, F32, address_space=AddressSpace.SHARED]()
    comptime VECTOR = min(width, 4)
    comptime for r in range(rows):
        comptime for i in range(0, PACKS * width, VECTOR):
            var d = (i // width * LANES_OF_KEY + lane) * width + i % width
            outputs.unsafe_store[alignment=4 * VECTOR](
                (team * rows + r) * padded + slot(team, d), o[r].slice[VECTOR, offset=i]()
            )
        if lane == 0:
            maxima.unsafe_store(team * rows + r, maximum[r])
            sums.unsafe_store(team * rows + r, sum[r])
    barrier()
    for r in range(min(rows, s.rows() - first_row)):
        var current_maximum = -INF
        comptime for i in range(TEAMS):
            current_maximum = max(current_maximum, maxima.unsafe_load(i * rows + r))
        var total = Float32(0)
        var factor = Array[Float32, TEAMS](fill=0)
        comptime for i in range(TEAMS):
            var m = maxima.unsafe_load(i * rows + r)
            factor[i] = rescale(m, current_maximum)
            # max ignores a NaN among the scores; it remains in the sums.
            var x = sums.unsafe_load(i * rows + r)
            total += x if m == -INF else x * factor[i]
        var row = (b * s.key_heads + key_head) * s.rows() + first_row + r
        var piece = row * Int(splits) + split
        for d in range(Int(thread_idx.x), padded, SPLIT_THREADS):
            var y = Float32(0)
            comptime for i in range(TEAMS):
                y += outputs.unsafe_load((i * rows + r) * padded + slot(i, d)) * factor[i]
            partial.unsafe_store(piece * padded + d, y)
        if thread_idx.x == 0:
            partial.unsafe_store[alignment=8](
                (Int(all_rows) * Int(splits)) * padded + 2 * piece, SIMD[F32, 2](current_maximum, total)
            )


def join_kernel[
    dtype: DType, padded: Int, width: Int
](
    out_: Ptr[dtype],
    partial: Ptr[F32],
    lengths: Ptr[DType.int64],
    has_lengths: Int32,
    queries: Int64,
    keys: Int64,
    heads: Int64,
    key_heads: Int64,
    dim: Int64,
    causal: Int32,
    splits: Int32,
    all_rows: Int64,
):
    """JOIN_LANES lanes join the splits of one row, with the online softmax; `width` divides `dim`."""
    comptime VECTORS = padded // JOIN_LANES // width
    comptime Vector = SIMD[F32, width]
    var s = sizes_of(queries, keys, heads, key_heads, dim, 1, causal)
    var lane = Int(thread_idx.x) % JOIN_LANES
    var joined = Int(block_idx.x) * JOIN_ROWS + Int(thread_idx.x) // JOIN_LANES
    if joined >= Int(all_rows):
        return
    var rows = s.rows()
    var row = joined % rows
    var key_head = joined // rows % s.key_heads
    var b = joined // (rows * s.key_heads)
    var outputs = partial.unsafe_offset(joined * Int(splits) * padded + lane * width)
    var statistics = partial.unsafe_offset(Int(all_rows) * Int(splits) * padded + joined * Int(splits) * 2)
    var y = Array[Vector, VECTORS](fill=0)
    var maximum = -INF
    var total = Float32(0)
    for i in range(Int(splits)):
        var of_split = statistics.unsafe_load[width=2, alignment=8](2 * i)
        var current_maximum = max(maximum, of_split[0])
        var previous_factor = rescale(maximum, current_maximum)
        var factor = rescale(of_split[0], current_maximum)
        maximum = current_maximum
        # max ignores a NaN among the scores; it remains in the sums, where a factor of 0 keeps it.
        total = total * previous_factor + of_split[1] * factor
        comptime for v in range(VECTORS):
            var x = outputs.unsafe_load[width=width, alignment=4 * width](i * padded + v * JOIN_LANES * width)
            y[v] = x.fma(Vector(factor), y[v] * previous_factor)
    # A query that sees no key gives zeros.
    var none = s.limit(clamped_length(lengths, has_lengths, b, s.keys), row) == 0
    comptime for v in range(VECTORS):
        var d = (v * JOIN_LANES + lane) * width
        if d < s.dim:
            put[width, width * align_of[dtype]()](
                out_, s.at(b, key_head, row) + d, Vector(0) if none else y[v] / total
            )


def few_rows[
    dtype: DType, //, rows: Int, padded: Int, width: Int
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
        Int32(Int(has_lengths)),
        Int64(s.queries),
        Int64(s.keys),
        Int64(s.heads),
        Int64(s.key_heads),
        Int64(s.dim),
        s.scale,
        Int32(Int(s.causal)),
        Int32(row_tiles),
        Int32(splits),
        Int64(all_rows),
        grid_dim=checked_blocks(splits * blocks),
        block_dim=SPLIT_THREADS,
    )

    @always_inline
    def join[join_width: Int]() raises {var, imm ctx, imm partial}:
        ctx.enqueue_function[join_kernel[dtype, padded, join_width]](
            out_,
            partial.unsafe_ptr(),
            lengths,
            Int32(Int(has_lengths)),
            Int64(s.queries),
            Int64(s.keys),
            Int64(s.heads),
            Int64(s.key_heads),
            Int64(s.dim),
            Int32(Int(s.causal)),
            Int32(splits),
            Int64(all_rows),
            grid_dim=checked_blocks((all_rows + JOIN_ROWS - 1) // JOIN_ROWS),
            block_dim=SPLIT_THREADS,
        )

    comptime WIDE = min(4, padded // JOIN_LANES)
    if s.dim % WIDE or Int(out_) % (WIDE * size_of[dtype]()):
        join[1]()
    else:
        join[WIDE]()
    _ = partial^
