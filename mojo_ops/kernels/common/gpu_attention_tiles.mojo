"""Attention of many query rows on a GPU without tensor cores.

This is the kernel for float32, whose accuracy tensor cores do not have, for GPUs that
are not NVIDIA's, and for 16-bit rows that are not whole 16-byte chunks. Tiles of keys,
then of values pass through shared memory as float32. A thread computes a small
rectangle of scores, and later of outputs, so that each vector from shared memory
serves several products.
"""

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.warp import shuffle_xor
from std.math import exp2
from std.memory import AddressSpace, stack_allocation
from std.sys import align_of, size_of

from .gpu_attention_common import checked_blocks, clamped_length, rescale, sizes_of
from .attention_tiles import INF, Sizes
from .gpu import aligned, gpu_width
from .vectors import F32, Ptr, put, up

comptime COLUMNS = 16  # threads that share a group of rows, lanes of one warp
comptime GROUPS = 8  # of rows
comptime TILE_THREADS = GROUPS * COLUMNS
comptime QUAD = 4  # floats in a vector from shared memory


def tile_kernel[
    dtype: DType, padded: Int, rows: Int, tile: Int, width: Int
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
    """Block (sequence, key head, tile of rows), the tile counting fastest.

    Thread (group, column) has `rows` / GROUPS rows; of these the scores of every COLUMNS-th of `tile` keys and
    every COLUMNS-th vector of the output. Global memory is read and written by `width` elements, which divide `dim`.
    """
    comptime STRIDE = padded + QUAD  # vectors of eight rows in one column come from all banks
    comptime ROWS = rows // GROUPS
    comptime SCORES = tile // COLUMNS
    comptime VECTORS = padded // COLUMNS // QUAD
    comptime WEIGHTS = tile + (4 if ROWS == 4 else 8)  # the rows of two groups store to different banks
    comptime Vector = SIMD[F32, QUAD]
    var s = sizes_of(queries, keys, heads, key_heads, dim, scale, causal)
    var held = stack_allocation[rows * STRIDE, F32, address_space=AddressSpace.SHARED, alignment=16]()
    var cache = stack_allocation[tile * STRIDE, F32, address_space=AddressSpace.SHARED, alignment=16]()
    var weights = stack_allocation[rows * WEIGHTS, F32, address_space=AddressSpace.SHARED, alignment=16]()
    var head_index = Int(block_idx.x) // Int(row_tiles)
    var key_head = head_index % s.key_heads
    var b = head_index // s.key_heads
    # Under a causal mask the last rows see most keys: they begin first.
    var first_row = (Int(row_tiles) - 1 - Int(block_idx.x) % Int(row_tiles)) * rows
    var column = Int(thread_idx.x) % COLUMNS
    var group_row = Int(thread_idx.x) // COLUMNS * ROWS
    var length = clamped_length(lengths, has_lengths, b, s.keys)
    var most = s.limit(length, min(first_row + rows, s.rows()) - 1)
    var limit = Array[Int, ROWS](fill=0)
    comptime for r in range(ROWS):
        limit[r] = s.limit(length, min(first_row + group_row + r, s.rows() - 1))

    comptime PER_ROW = padded // width
    for i in range(Int(thread_idx.x), rows * PER_ROW, TILE_THREADS):
        var r = i // PER_ROW
        var d = i % PER_ROW * width
        var x = SIMD[F32, width](0)
        if first_row + r < s.rows() and d < s.dim:
            x = up[width, width * align_of[dtype]()](query, s.at(b, key_head, first_row + r) + d) * scale
        held.unsafe_store[alignment=4 * min(width, QUAD)](r * STRIDE + d, x)

    var o = Array[Vector, ROWS * VECTORS](fill=0)
    var maximum = Array[Float32, ROWS](fill=-INF)
    var sum = Array[Float32, ROWS](fill=0)

    @always_inline
    def fill(source: Ptr[dtype], first: Int) {var}:
        barrier()  # the last tile is no longer needed
        for i in range(Int(thread_idx.x), tile * PER_ROW, TILE_THREADS):
            var j = i // PER_ROW
            var d = i % PER_ROW * width
            var x = SIMD[F32, width](0)
            if first + j < most and d < s.dim:
                x = up[width, width * align_of[dtype]()](source, s.cache_at(b, first + j, key_head) + d)
            cache.unsafe_store[alignment=4 * min(width, QUAD)](j * STRIDE + d, x)
        barrier()

    for first in range(0, most, tile):
        fill(key, first)
        var score = Array[Float32, ROWS * SCORES](fill=0)
        for d in range(0, padded, QUAD):
            var k = Array[Vector, SCORES](fill=0)
            comptime for j in range(SCORES):
                k[j] = cache.unsafe_load[width=QUAD, alignment=16]((j * COLUMNS + column) * STRIDE + d)
            comptime for r in range(ROWS):
                var q = held.unsafe_load[width=QUAD, alignment=16]((group_row + r) * STRIDE + d)
                comptime for j in range(SCORES):
                    comptime for i in range(QUAD):
                        score[r * SCORES + j] = q[i].fma(k[j][i], score[r * SCORES + j])
        comptime for r in range(ROWS):
            var current_maximum = maximum[r]
            comptime for j in range(SCORES):
                if first + j * COLUMNS + column >= limit[r]:
                    score[r * SCORES + j] = -INF
                current_maximum = max(current_maximum, score[r * SCORES + j])
            comptime for step in range(4):
                current_maximum = max(
                    current_maximum, shuffle_xor(current_maximum, UInt32(COLUMNS >> (step + 1)))
                )
            var factor = rescale(maximum[r], current_maximum)
            var base = Float32(0) if current_maximum == -INF else current_maximum
            maximum[r] = current_maximum
            sum[r] *= factor
            comptime for j in range(SCORES):
                var weight = exp2(score[r * SCORES + j] - base)
                sum[r] += weight
                weights.unsafe_store((group_row + r) * WEIGHTS + j * COLUMNS + column, weight)
            comptime for v in range(VECTORS):
                o[r * VECTORS + v] *= factor
        fill(value, first)  # its barriers also show the weights
        for j in range(0, tile, QUAD):
            var weight = Array[Vector, ROWS](fill=0)
            comptime for r in range(ROWS):
                weight[r] = weights.unsafe_load[width=QUAD, alignment=16]((group_row + r) * WEIGHTS + j)
            comptime for i in range(QUAD):
                comptime for v in range(VECTORS):
                    var x = cache.unsafe_load[width=QUAD, alignment=16](
                        (j + i) * STRIDE + (v * COLUMNS + column) * QUAD
                    )
                    comptime for r in range(ROWS):
                        o[r * VECTORS + v] = x.fma(Vector(weight[r][i]), o[r * VECTORS + v])

    # Through shared memory, so that neighbouring lanes store neighbouring elements.
    barrier()
    comptime for r in range(ROWS):
        comptime for step in range(4):
            sum[r] += shuffle_xor(sum[r], UInt32(COLUMNS >> (step + 1)))
        comptime for v in range(VECTORS):
            held.unsafe_store[alignment=16](
                (group_row + r) * STRIDE + (v * COLUMNS + column) * QUAD,
                Vector(0) if limit[r] == 0 else o[r * VECTORS + v] / sum[r],
            )
    barrier()
    for i in range(Int(thread_idx.x), rows * PER_ROW, TILE_THREADS):
        var r = i // PER_ROW
        var d = i % PER_ROW * width
        if first_row + r < s.rows() and d < s.dim:
            put[width, width * align_of[dtype]()](
                out_,
                s.at(b, key_head, first_row + r) + d,
                held.unsafe_load[width=width, alignment=4 * min(width, QUAD)](r * STRIDE + d),
            )


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
    """Launches the kernel for head dimensions up to `padded`."""
    comptime ROWS = 16 if padded > 128 else 32  # static shared memory ends at 48 KB
    comptime TILE = 16 if padded > 128 else 32
    var row_tiles = (s.rows() + ROWS - 1) // ROWS

    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[tile_kernel[dtype, padded, ROWS, TILE, width]](
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
            block_dim=TILE_THREADS,
        )

    comptime WIDTH = gpu_width[dtype]()
    # Rows of 16 bits that allow vectors are left to the tensor cores where there are such.
    comptime if ctx.default_device_info.api != "cuda" or size_of[dtype]() == 4:
        if s.dim % WIDTH == 0 and aligned(out_) and aligned(query) and aligned(key) and aligned(value):
            launch[WIDTH]()
            return
    launch[1]()
