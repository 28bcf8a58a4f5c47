"""Softmax on a GPU: threads keep their part of the scores in registers; what does not fit is
computed again from the second-level cache.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA
from max.gpu.host import DeviceContext
from std.sys import align_of
from std.utils import StaticTuple

from .broadcast import BroadcastRows
from .exp import exp
from .gpu import aligned, gpu_width
from .gpu_row_groups import RowGroup, ThreadSums, for_row_groups
from .vectors import F32, Ptr, put, up

# Values of the mask in a row.
comptime NONE = 0
comptime ONE = 1
comptime ALL = 2

comptime DIMENSIONS = 4  # of the mask without its columns, neighbouring ones over which one step fits taken together


struct Scores[dtype: DType, masks: Int](ImplicitlyCopyable, Movable):
    """The rows of scale x + mask, or one of them. It holds addresses, since a struct may not hold such pointers.
    """

    var x: Int
    var mask: Int
    var scale: Float32
    var even: Float32  # the mask's one value in this row

    @always_inline
    def __init__(out self, x: Ptr[Self.dtype], mask: Ptr[Self.dtype], scale: Float32):
        self.x = Int(x)
        self.mask = Int(mask)
        self.scale = scale
        self.even = 0

    @always_inline
    def row(self, x: Int, mask: Int) -> Self:
        """The row that begins `x` and `mask` elements into the tensors."""
        var row = self
        row.x = Int(Ptr[Self.dtype](unsafe_from_address=self.x).unsafe_offset(x))
        comptime if Self.masks != NONE:
            var at = Ptr[Self.dtype](unsafe_from_address=self.mask).unsafe_offset(mask)
            row.mask = Int(at)
            comptime if Self.masks == ONE:
                row.even = up[1](at, 0)[0]
        return row

    @always_inline
    def next(self, n: Int) -> Ptr[Self.dtype]:
        """The values of x behind a row of n."""
        return Ptr[Self.dtype](unsafe_from_address=self.x).unsafe_offset(n)

    @always_inline
    def at[width: Int, alignment: Int = align_of[Self.dtype]()](self, i: Int) -> SIMD[F32, width]:
        var v = up[width, alignment](Ptr[Self.dtype](unsafe_from_address=self.x), i)
        comptime if Self.masks == NONE:
            return v * self.scale
        elif Self.masks == ONE:
            return v.fma(SIMD[F32, width](self.scale), SIMD[F32, width](self.even))
        else:
            var m = up[width, alignment](Ptr[Self.dtype](unsafe_from_address=self.mask), i)
            return v.fma(SIMD[F32, width](self.scale), m)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(threads)))
def softmax_kernel[
    dtype: DType, width: Int, threads: Int, is_warp: Bool, masks: Int
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    mask: Ptr[dtype],
    scale: Float32,
    rows: Int64,
    columns: Int64,
    size0: Int64,
    size1: Int64,
    size2: Int64,
    stride0: Int64,
    stride1: Int64,
    stride2: Int64,
    stride3: Int64,
):
    """`columns` is a multiple of `width`. Sizes and strides lead to the mask's row, the last dimension first.
    """
    comptime Group = RowGroup[is_warp, threads]
    comptime VECTORS = Group.held[width]()
    comptime alignment = width * align_of[dtype]()
    var n = Int(columns)
    var scores = Scores[dtype, masks](x, mask, scale)
    for row in range(Group.first_row(), Int(rows), Group.row_step()):
        var of_mask = Int64(0)
        comptime if masks != NONE:
            var remaining = Int64(row)
            of_mask = remaining % size0 * stride0
            remaining = remaining // size0
            of_mask += remaining % size1 * stride1
            remaining = remaining // size1
            of_mask += remaining % size2 * stride2 + remaining // size2 * stride3
        var row_scores = scores.row(row * n, Int(of_mask))
        var held = Array[SIMD[F32, width], VECTORS](fill=0)
        var sums = ThreadSums[width]()
        comptime for h in range(VECTORS):
            var i = (Group.lane() + h * Group.width()) * width
            if i < n:
                held[h] = row_scores.at[width, alignment](i)
                sums.add(held[h])
        var remaining = (Group.lane() + VECTORS * Group.width()) * width
        for i in range(remaining, n, Group.width() * width):
            sums.add(row_scores.at[width, alignment](i))
        var share = 1 / sums.over[is_warp, threads]()
        var yr = y.unsafe_offset(row * n)
        comptime for h in range(VECTORS):
            var i = (Group.lane() + h * Group.width()) * width
            if i < n:
                put[width, alignment](yr, i, exp(held[h] - sums.max) * share)
        for i in range(remaining, n, Group.width() * width):
            put[width, alignment](yr, i, exp(row_scores.at[width, alignment](i) - sums.max) * share)


def softmax_gpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    mask: Ptr[dtype],
    has_mask: Bool,
    mask_columns: Int,
    mask_rows: BroadcastRows,
    rows: Int,
    n: Int,
    scale: Float32,
    ctx: DeviceContext,
) raises:
    if mask_rows.rank > DIMENSIONS:
        raise Error(
            "softmax: mask broadcasts over ",
            mask_rows.rank,
            " dimensions apart, expected ",
            DIMENSIONS,
            " at most",
        )
    var sizes = Array[Int64, DIMENSIONS](fill=1)
    var strides = Array[Int64, DIMENSIONS](fill=0)
    for i in range(mask_rows.rank):
        sizes[i] = Int64(mask_rows.size(i))
        strides[i] = Int64(mask_rows.stride(i))

    @always_inline
    def launch_width[width: Int, masks: Int]() raises {var, imm ctx, imm sizes, imm strides}:
        @always_inline
        def launch[is_warp: Bool, threads: Int](blocks: Int) raises {var, imm ctx, imm sizes, imm strides}:
            ctx.enqueue_function[softmax_kernel[dtype, width, threads, is_warp, masks]](
                y,
                x,
                mask,
                scale,
                Int64(rows),
                Int64(n),
                sizes[0],
                sizes[1],
                sizes[2],
                strides[0],
                strides[1],
                strides[2],
                strides[3],
                grid_dim=blocks,
                block_dim=threads,
            )

        for_row_groups(launch, rows, n, width)

    @always_inline
    def launch_mask[masks: Int](vectors: Bool) raises {imm}:
        comptime WIDTH = gpu_width[dtype]()
        if vectors and n % WIDTH == 0 and aligned(y) and aligned(x):
            launch_width[WIDTH, masks]()
        else:
            launch_width[1, masks]()

    if not has_mask:
        launch_mask[NONE](True)
    elif mask_columns == 1 and n > 1:
        launch_mask[ONE](True)
    else:
        launch_mask[ALL](aligned(mask))
