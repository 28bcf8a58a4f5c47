"""Attention of many query rows on tensor cores, for 16-bit dtypes.

The structure is FlashAttention-2's (Dao, https://arxiv.org/abs/2307.08691): a block
takes a tile of query rows and passes over the keys; scores, weights and output stay
in registers (gpu_attention_fragments), and the online softmax counts in powers of
two. Keys and values have one buffer each. While a tile of keys is multiplied its
values arrive, and while the values are multiplied the next keys do.

The heads of a group are rows beside each other and share what is read of the cache.

MAX's own kernel, nn.attention.gpu.mha.flash_attention, is not used because the
numbers of heads and key heads are compile-time parameters there, and this op is
compiled once for all of them. It has fast kernels for few head dimensions only
(128; 64 and 256 on some architectures). Its results and counts under emulation are
in mojo_ops/docs/attention-gpu.md.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext, FuncAttribute
from max.gpu.memory import async_copy_commit_group, async_copy_wait_group, external_memory
from max.gpu.sync import syncwarp
from std.memory import AddressSpace
from std.sys import size_of
from std.utils.static_tuple import StaticTuple

from .gpu_attention_common import checked_blocks, clamped_length, sizes_of
from .gpu_attention_copies import CHUNK, PADDING, Share, Shared
from .gpu_attention_fragments import Fragments
from .attention_tiles import Sizes
from .gpu import aligned
from .vectors import Ptr

comptime WARP = 32
comptime LEAST_NORMAL = Float32(1.1754944e-38)
comptime MAX_INDEX = 1 << 30  # rows and keys are counted in 32 bits, with a tile to spare

# From here on two blocks with tiles of 64 keys fit into a multiprocessor (sm_80, sm_90, sm_100).
comptime LARGE_SHARED_MEMORY = 160 << 10


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(warps * WARP)))
def mma_kernel[
    dtype: DType, padded: Int, warps: Int, m_tiles: Int, tile: Int
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
    row_tiles: Int32,
):
    """Block (sequence, key head, tile of rows), the tile counting fastest; a warp has 16 `m_tiles` rows.

    `tile` keys are multiplied at a time, and `padded` is at least the head dimension.
    """
    comptime WARP_ROWS = 16 * m_tiles
    comptime ROWS = warps * WARP_ROWS
    comptime STRIDE = padded + PADDING
    comptime Copies = Share[padded, warps * WARP]
    comptime Stores = Share[padded, WARP]
    comptime State = Fragments[dtype, padded, m_tiles, tile]
    var s = sizes_of(queries, keys, heads, key_heads, dim, scale, causal)
    var lane = Int(thread_idx.x) % WARP
    var warp = Int(thread_idx.x) // WARP
    var block = UInt32(block_idx.x)
    var head_index = block // UInt32(row_tiles)
    var key_head = Int(head_index % UInt32(key_heads))
    var b = Int(head_index // UInt32(key_heads))
    # Under a causal mask the last rows see most keys: they begin first.
    var first_row = Int(UInt32(row_tiles) - 1 - block % UInt32(row_tiles)) * ROWS
    var warp_row = first_row + warp * WARP_ROWS
    var rows = s.rows()
    var group = UInt32(s.group())
    var length = clamped_length(lengths, has_lengths, b, s.keys)

    @always_inline
    def limit_of(row: Int) {var} -> Int32:
        """The row sees the keys before this one; at most 0 where it sees none."""
        if causal == 0:
            return Int32(length)
        return Int32(length - s.queries + 1) + Int32(UInt32(min(row, rows - 1)) // group)

    var least = limit_of(first_row)
    var most = limit_of(first_row + ROWS - 1)
    var warp_most = limit_of(warp_row + WARP_ROWS - 1)
    var limit = State.Limits(fill=0)
    comptime for r in range(State.ROWS):
        limit[r] = limit_of(warp_row + r * 8 + lane // 4)

    var q_tile = external_memory[Scalar[dtype], address_space=AddressSpace.SHARED, alignment=16]()
    var k_tile = q_tile.unsafe_offset(ROWS * STRIDE)
    var v_tile = k_tile.unsafe_offset(tile * STRIDE)
    var warp_tile = q_tile.unsafe_offset(warp * WARP_ROWS * STRIDE)

    var share = Copies(Int(thread_idx.x))
    var first_head = s.at(b, key_head, 0)
    share.copy_queries[ROWS](query.unsafe_offset(first_head), q_tile, first_row, rows, s.heads, group, s.dim)
    var at = s.cache_at(b, share.row, key_head) + share.column
    var k_from = key.unsafe_offset(at)
    var v_from = value.unsafe_offset(at)
    var step = s.cache_at(0, Copies.ROWS, 0)
    var k_to = k_tile.unsafe_offset(share.offset())
    var v_to = v_tile.unsafe_offset(share.offset())
    var valid = most - Int32(share.row)
    share.copy[tile](k_from, step, k_to, valid, s.dim)
    async_copy_commit_group()
    async_copy_wait_group(0)

    # The maxima are of unscaled scores, so that one fma scales and subtracts. That wants a positive scale:
    # the sign goes to the queries, and a scale of 0 becomes one that changes no sum.
    if scale < 0:
        share.negate[ROWS](q_tile)
    var positive_scale = max(abs(scale), LEAST_NORMAL)

    var q_at = warp_tile.unsafe_offset(State.rows_at(lane))
    var k_at = k_tile.unsafe_offset(State.columns_at(lane))
    var v_at = v_tile.unsafe_offset(State.rows_at(lane))
    var state = State()

    @always_inline
    def turn[masked: Bool](first: Int32) {mut}:
        async_copy_wait_group(0)
        barrier()  # the keys have arrived, and the last values are no longer needed
        share.copy[tile](v_from, step, v_to, valid - first, s.dim)
        async_copy_commit_group()
        var active = not masked or first < warp_most
        if active:
            state.multiply_keys(q_at, k_at)
        async_copy_wait_group(0)
        barrier()  # the values have arrived, and the keys are no longer needed
        if first + Int32(tile) < most:
            share.copy[tile](k_from, step, k_to, valid - first - Int32(tile), s.dim)
            async_copy_commit_group()
        if active:
            comptime if masked:
                state.mask(first + Int32(lane % 4 * 2), limit)
            state.softmax(positive_scale)
            state.multiply_values(v_at)

    var first = Int32(0)
    while first + Int32(tile) <= least:
        turn[False](first)
        first += Int32(tile)
    while first < most:
        turn[True](first)
        first += Int32(tile)

    # Through shared memory, where a warp now owns the rows of its queries, to stores of 16 bytes.
    barrier()  # without keys there was none since the queries were copied
    state.store(warp_tile, lane, limit)
    syncwarp()
    Stores(lane).store_rows[WARP_ROWS](
        warp_tile, out_.unsafe_offset(first_head), warp_row, rows, s.heads, group, s.dim
    )


def fits_mma[
    dtype: DType, //
](out_: Ptr[dtype], query: Ptr[dtype], key: Ptr[dtype], value: Ptr[dtype], s: Sizes) -> Bool:
    """Whether rows are whole 16-byte chunks and may be counted in 32 bits."""
    return (
        s.dim % CHUNK == 0
        and aligned(out_)
        and aligned(query)
        and aligned(key)
        and aligned(value)
        and max(s.rows(), s.keys) < MAX_INDEX
    )


def mma_rows[
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
    """Launches the kernel for head dimensions up to `padded`.

    Two tiles of 16 rows a warp share each fragment of keys and values: at padded = 128, 80 ldmatrix for 256 mma in
    place of 144. Where shared memory holds only one such block of four warps, eight warps with a tile each take it.
    """
    comptime LARGE = ctx.default_device_info.shared_memory_per_multiprocessor >= LARGE_SHARED_MEMORY
    comptime M_TILES = 2 if LARGE and padded <= 128 else 1  # a row of 256 takes 128 registers
    comptime WARPS = 4 if M_TILES == 2 else 8
    comptime TILE = 64 if LARGE or padded <= 128 else 32
    comptime ROWS = WARPS * M_TILES * 16
    comptime BYTES = (ROWS + 2 * TILE) * (padded + PADDING) * size_of[dtype]()
    var row_tiles = (s.rows() + ROWS - 1) // ROWS
    ctx.enqueue_function[mma_kernel[dtype, padded, WARPS, M_TILES, TILE]](
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
        Int32(row_tiles),
        grid_dim=checked_blocks(row_tiles * s.key_heads * s.batch),
        block_dim=WARPS * WARP,
        shared_mem_bytes=BYTES,
        func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(UInt32(BYTES)),
    )
