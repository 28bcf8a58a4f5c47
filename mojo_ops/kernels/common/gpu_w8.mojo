"""Op linear_w8 on a GPU; see linear_w8.mojo.

Up to 15 rows of x, as in decoding, are one pass over the weight: a block computes
a few columns of the output for all rows of x, and its threads divide the sum over k
between them. So the block reads each element of its weight rows and of x once, with
coalesced loads and without staging. From 16 rows on the weight is widened into
scratch, a chunk at a time, and multiplied by cuBLAS, rocBLAS or hipBLASLt, by way of
MAX's binding.
"""

from layout import TileTensor, row_major
from linalg.matmul.vendor.blas import matmul
from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, barrier, block_dim, block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.warp import shuffle_xor
from std.math import ceildiv
from std.memory import AddressSpace, bitcast, stack_allocation
from std.sys import align_of, is_nvidia_gpu, llvm_intrinsic, size_of
from std.utils import StaticTuple
from std.utils.coord import Coord

from .gpu import BLOCK, aligned, gpu_item, gpu_width
from .gpu_row_groups import MAX_GRID
from .linear_w8_layer import I8, Layer, any
from .row_pieces import GpuPlace, GpuRows
from .vectors import F32, Ptr, put, up

comptime U32 = DType.uint32

# Break-even with the library's product, reasoned and not measured on a GPU: widening
# to 16 bits writes and reads four more bytes for each byte of the weight, and the pass
# over it does an FMA on it for each row.
comptime PRODUCT_ROWS = 16
comptime MAX_ROWS = 16  # rows of x that one pass over the weight takes at most
# Widened weights at a time: less than the 40 MB of an A100's L2, where the product
# finds them. At once an LM head of 128,256 x 4,096 would need 1 GB.
comptime CHUNK_BYTES = 32 << 20
comptime CHUNK_TILE = 128  # rows: whole tiles of the product keep a chunk's columns aligned
comptime LANES = 32  # that add up together: a warp, or half of one of AMD's
comptime MIN_THREADS = 64  # a warp on every GPU


@always_inline
def columns_of(rows: Int) -> Int:
    """Rows of the weight in a block that has `rows` rows of x: as many as there are registers for."""
    return 8 if rows <= 2 else 4 if rows <= 8 else 2


@always_inline
def resident_blocks(rows: Int) -> Int:
    """Blocks that a multiprocessor has at once, which leaves a thread of one row 64 registers and of others 128.
    """
    return 4 if rows == 1 else 2


@always_inline
def widened[width: Int, //](v: SIMD[I8, width]) -> SIMD[F32, width]:
    """Converts weights to float32.

    A byte permutation puts a weight + 128 into the mantissa of 2^23: conversions of
    integers have a fraction of the throughput of those two instructions.
    """
    comptime if is_nvidia_gpu() and width % 4 == 0:
        var words = bitcast[U32, width // 4](v) ^ 0x80808080
        var wide = SIMD[F32, width](0)
        comptime for k in range(width):
            comptime selector = UInt32(0x7440 + k % 4)
            var bits = llvm_intrinsic["llvm.nvvm.prmt", UInt32, has_side_effect=False](
                words[k // 4], UInt32(0x4B000000), selector
            )
            wide[k] = bitcast[F32, 1](bits) - 8388736.0
        return wide
    else:
        return v.cast[F32]()


@always_inline
def sum_over_lanes[count: Int, //](mut v: Array[Float32, count], lane: Int):
    """Sums each of `count` values, a power of two, over LANES lanes; lane i gets those from i * count / LANES on.

    Halving the values with the lanes takes `count` shuffles instead of 5 count.
    """
    comptime for step in range(5):
        comptime mask = LANES >> (step + 1)
        comptime half = count >> (step + 1)
        comptime if half > 0:
            var upper = lane & mask != 0
            comptime for i in range(half):
                var kept = v[i + half] if upper else v[i]
                var sent = v[i] if upper else v[i + half]
                v[i] = kept + shuffle_xor(sent, UInt32(mask))
        else:
            v[0] += shuffle_xor(v[0], UInt32(mask))


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(BLOCK)),
    `nvvm.minctasm`=SIMDLength(resident_blocks(ROWS)),
)
def linear_w8_kernel[
    dtype: DType, width: Int, ROWS: Int
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    weight: Ptr[I8],
    scales: Ptr[dtype],
    bias: Ptr[dtype],
    has_bias: Int32,
    batch: Int64,
    inputs: Int64,
    outputs: Int64,
):
    """`ROWS` rows of x by a few rows of the weight in a block; `width` elements of a row in one load.

    They are 16 bytes of x. Loads of 16 weights would make the loads of x skip every
    second vector, which doubles their sectors.
    """
    comptime COLUMNS = columns_of(ROWS)
    comptime SUMS = ROWS * COLUMNS
    comptime HELD = max(1, SUMS // LANES)  # sums in a lane
    comptime SHARING = max(1, LANES // SUMS)  # lanes with the same one
    comptime alignment = width * size_of[dtype]()
    var partial = stack_allocation[BLOCK // LANES * SUMS, F32, address_space=AddressSpace.SHARED]()
    var d = Int(inputs)
    var n_all = Int(outputs)
    var thread = Int(thread_idx.x)
    var threads = Int(block_dim.x)
    var lane = thread % LANES
    var column_tiles = ceildiv(n_all, COLUMNS)
    for tile in range(Int(block_idx.x), ceildiv(Int(batch), ROWS) * column_tiles, Int(grid_dim.x)):
        var m = tile // column_tiles * ROWS
        var n = tile % column_tiles * COLUMNS
        var rows = min(ROWS, Int(batch) - m)
        var columns = min(COLUMNS, n_all - n)
        var sums = Array[Float32, SUMS](fill=0)
        for k in range(thread * width, d, threads * width):
            var packed = Array[SIMD[I8, width], COLUMNS](fill=0)
            comptime for j in range(COLUMNS):
                # The last tile may read one row several times, for nothing.
                var at = (n + (j if j < columns else 0)) * d + k
                packed[j] = weight.unsafe_load[width=width, alignment=width](at)
            comptime if ROWS <= 2:  # all of x; one row of the weight after the other is in float32
                var v = Array[SIMD[F32, width], ROWS](fill=0)
                comptime for r in range(ROWS):
                    v[r] = up[width, alignment](x, (m + r) * d + k)
                comptime for j in range(COLUMNS):
                    var w = widened(packed[j])
                    comptime for r in range(ROWS):
                        comptime for i in range(width):
                            sums[r * COLUMNS + j] = v[r][i].fma(w[i], sums[r * COLUMNS + j])
            else:
                var wide = Array[SIMD[F32, width], COLUMNS](fill=0)
                comptime for j in range(COLUMNS):
                    wide[j] = widened(packed[j])
                comptime for r in range(ROWS):
                    if r < rows:
                        var v = up[width, alignment](x, (m + r) * d + k)
                        comptime for i in range(width):
                            comptime for j in range(COLUMNS):
                                sums[r * COLUMNS + j] = v[i].fma(wide[j][i], sums[r * COLUMNS + j])
        sum_over_lanes(sums, lane)
        if lane % SHARING == 0:
            comptime for i in range(HELD):
                partial.unsafe_store(thread // LANES * SUMS + lane // SHARING * HELD + i, sums[i])
        barrier()
        for i in range(thread, SUMS, threads):
            var r = i // COLUMNS
            var j = i % COLUMNS
            var total = Float32(0)
            for group in range(threads // LANES):
                total += partial.unsafe_load(group * SUMS + i)
            if r < rows and j < columns:
                var value = total * up[1](scales, n + j)[0]
                if has_bias != 0:
                    value += up[1](bias, n + j)[0]
                put[1](y, (m + r) * n_all + n + j, SIMD[F32, 1](value))
        barrier()  # before the next tile writes its sums


def launch_rows[dtype: DType, //, width: Int, rows: Int](layer: Layer[dtype], ctx: DeviceContext) raises:
    var threads = MIN_THREADS
    while threads < BLOCK and threads * width < layer.inputs:
        threads *= 2
    ctx.enqueue_function[linear_w8_kernel[dtype, width, rows]](
        any(layer.y),
        any(layer.x),
        any(layer.weight),
        any(layer.scales),
        any(layer.bias),
        Int32(layer.has_bias),
        Int64(layer.batch),
        Int64(layer.inputs),
        Int64(layer.outputs),
        grid_dim=min(MAX_GRID, ceildiv(layer.batch, rows) * ceildiv(layer.outputs, columns_of(rows))),
        block_dim=threads,
    )


def launch_width[dtype: DType, //, width: Int](layer: Layer[dtype], ctx: DeviceContext) raises:
    if layer.batch == 1:
        launch_rows[width, 1](layer, ctx)
    elif layer.batch == 2:
        launch_rows[width, 2](layer, ctx)
    elif layer.batch <= 4:
        launch_rows[width, 4](layer, ctx)
    elif layer.batch <= 8:
        launch_rows[width, 8](layer, ctx)
    else:
        launch_rows[width, MAX_ROWS](layer, ctx)


def widen_kernel[dtype: DType, width: Int](wide: Ptr[dtype], weight: Ptr[I8], elements: Int64):
    """The weight in `dtype`, exactly; `elements` is a multiple of `width`."""
    var i = gpu_item() * width
    if i < Int(elements):
        var v = weight.unsafe_load[width=width, alignment=width](i)
        put[width, width * size_of[dtype]()](wide, i, widened(v))


def widen[dtype: DType, //](wide: Ptr[dtype], weight: Ptr[I8], elements: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[widen_kernel[dtype, width]](
            wide, weight, Int64(elements), grid_dim=ceildiv(elements, width * BLOCK), block_dim=BLOCK
        )

    comptime WIDTH = gpu_width[dtype]()
    if elements % WIDTH == 0 and aligned(weight) and aligned(wide):
        launch[WIDTH]()
    else:
        launch[1]()


def finish_kernel[
    dtype: DType, width: Int
](
    y: Ptr[dtype],
    product: Ptr[dtype],
    scales: Ptr[dtype],
    bias: Ptr[dtype],
    has_bias: Int32,
    rows: Int64,
    columns: Int64,
    stride: Int64,
):
    """Scales and bias, from dense rows into rows that lie `stride` apart; in place where they are the same.
    """
    comptime alignment = width * size_of[dtype]()
    var place = GpuPlace(width)
    if place.column < Int(columns):
        var scale = up[width, alignment](scales, place.column)
        var shift = SIMD[F32, width](0)
        if has_bias != 0:
            shift = up[width, alignment](bias, place.column)
        for row in range(place.row, Int(rows), place.stride):
            var v = up[width, alignment](product, row * Int(columns) + place.column)
            put[width, alignment](y, row * Int(stride) + place.column, v.fma(scale, shift))


def finish[
    dtype: DType, //
](layer: Layer[dtype], product: Ptr[dtype], first: Int, columns: Int, ctx: DeviceContext) raises:
    """Scales and bias of `columns` columns from `first` on."""
    var y = any(layer.y).unsafe_offset(first)
    var scales = any(layer.scales).unsafe_offset(first)
    var bias = any(layer.bias).unsafe_offset(first)

    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        var grid = GpuRows(layer.batch, columns // width)
        ctx.enqueue_function[finish_kernel[dtype, width]](
            y,
            product,
            scales,
            bias,
            Int32(layer.has_bias),
            Int64(layer.batch),
            Int64(columns),
            Int64(layer.outputs),
            grid_dim=(grid.blocks_x, grid.blocks_y),
            block_dim=(grid.threads_x, grid.threads_y),
        )

    comptime WIDTH = gpu_width[dtype]()
    var whole = layer.outputs % WIDTH == 0 and columns % WIDTH == 0
    if whole and aligned(y) and aligned(product) and aligned(scales) and aligned(bias):
        launch[WIDTH]()
    else:
        launch[1]()


@always_inline
def matrix[
    dtype: DType, //
](p: Ptr[dtype], rows: Int, columns: Int) -> TileTensor[
    dtype, type_of(row_major(Coord(Int64(rows), Int64(columns)))), MutAnyOrigin
]:
    return TileTensor(p, row_major(Coord(Int64(rows), Int64(columns))))


def linear_by_product[dtype: DType, //](layer: Layer[dtype], ctx: DeviceContext) raises:
    """Widens chunks of the weight and multiplies; float32 products do without TF32.

    The product is rounded to `dtype` before it is scaled, as in eager PyTorch (and
    overflows where that does): scaling the weight first would round every weight. The
    binding writes dense matrices only, so a part of the columns goes through scratch.
    """
    var d = layer.inputs
    var whole_tiles = CHUNK_BYTES // (d * size_of[dtype]()) // CHUNK_TILE * CHUNK_TILE
    var chunk = min(layer.outputs, max(CHUNK_TILE, whole_tiles))
    var wide = ctx.enqueue_create_buffer[dtype](chunk * d)
    var in_parts = chunk < layer.outputs
    var scratch = ctx.enqueue_create_buffer[dtype](layer.batch * chunk if in_parts else 1)
    var wide_at = wide.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]()
    var product = scratch.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]() if in_parts else any(layer.y)
    for first in range(0, layer.outputs, chunk):
        var columns = min(chunk, layer.outputs - first)
        widen(wide_at, any(layer.weight).unsafe_offset(first * d), columns * d, ctx)
        matmul(
            ctx,
            matrix(product, layer.batch, columns),
            matrix(any(layer.x), layer.batch, d),
            matrix(wide_at, columns, d),
            c_row_major=True,
            transpose_b=True,
        )
        finish(layer, product, first, columns, ctx)
    _ = wide^
    _ = scratch^


def linear_w8_gpu[dtype: DType, //](layer: Layer[dtype], ctx: DeviceContext) raises:
    """Queues the layer; `batch` and `outputs` are not zero."""
    comptime WIDTH = gpu_width[dtype]()
    if layer.batch >= PRODUCT_ROWS and layer.inputs > 0:
        linear_by_product(layer, ctx)
    elif layer.inputs % WIDTH == 0 and aligned(any(layer.x)) and aligned(any(layer.weight)):
        launch_width[WIDTH](layer, ctx)
    else:
        launch_width[1](layer, ctx)
