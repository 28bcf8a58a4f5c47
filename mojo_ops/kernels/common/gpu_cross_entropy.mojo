"""Cross entropy on a GPU: a block processes a row and reads it once. A target out of range gives NaN."""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext
from std.math import log
from std.sys import align_of, size_of
from std.utils import StaticTuple
from std.utils.numerics import nan

from .class_targets import F64, MEAN, NO_REDUCTION, Options
from .gpu import BLOCK, gpu_width
from .gpu_row_groups import MANY_THREADS, MAX_GRID, RowGroup, ThreadSums
from .vectors import F32, Ptr, put, up


struct RowParts(ImplicitlyCopyable, Movable):
    """A row of any length and address in vectors. Elements before the first and after the last whole
    vector are read singly, so that a vocabulary of 50257 is read 16 bytes at a time too."""

    var head: Int
    var vectors: Int
    var tail: Int

    @always_inline
    def __init__[dtype: DType, //](out self, row: Ptr[dtype], n: Int, width: Int):
        var bytes = width * size_of[dtype]()
        self.head = min(n, (bytes - Int(row) % bytes) % bytes // size_of[dtype]())
        self.vectors = (n - self.head) // width
        self.tail = n - self.head - self.vectors * width


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(threads)))
def cross_entropy_kernel[
    dtype: DType, loss_dtype: DType, threads: Int
](
    loss: Ptr[loss_dtype],
    lse: Ptr[F64],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    rows: Int64,
    classes: Int64,
    smoothing: Float32,
    ignore_index: Int64,
):
    comptime width = gpu_width[dtype]()
    comptime alignment = width * align_of[dtype]()
    comptime Group = RowGroup[False, threads]
    var n = Int(classes)
    var thread = Int(thread_idx.x)
    for row in range(Int(block_idx.x), Int(rows), Int(grid_dim.x)):
        var x = logits.unsafe_offset(row * n)
        var parts = RowParts(x, n, width)
        var sums = ThreadSums[width]()
        var total = SIMD[F32, width](0)
        var single = SIMD[F32, width](-Float32.MAX)
        var singles = 0
        if thread < parts.head:
            single[0] = up[1](x, thread)[0]
            total[0] += single[0]
            singles = 1
        if thread < parts.tail:
            single[1] = up[1](x, n - 1 - thread)[0]
            total[1] += single[1]
            singles = 1
        if singles:
            sums.add(single)
        for i in range(thread, parts.vectors, threads):
            var v = up[width, alignment](x, parts.head + i * width)
            sums.add(v)
            total += v
        var sum = sums.over[False, threads]()
        var mean = Float32(0)
        if smoothing != 0:
            mean = Group.sum(total.reduce_add()) / Float32(n)
        if thread == 0:
            var log_sum = log(sum)
            lse.unsafe_store(row, Float64(sums.max) + Float64(log_sum))
            var t = target.unsafe_load(row)
            var result = Float32(0)
            if t != ignore_index:
                result = nan[F32]()
                if t >= 0 and t < classes:
                    result = sums.max - up[1](x, Int(t))[0] + log_sum
                if smoothing != 0:
                    result = (1 - smoothing) * result + smoothing * (sums.max - mean + log_sum)
            put[1](loss, row, SIMD[F32, 1](result))


@always_inline
def counted_by_block(target: Ptr[DType.int64], rows: Int64, ignore_index: Int64) -> Float32:
    """Number of targets that are not ignored, counted by a block of MANY_THREADS."""
    var counted = Float32(0)
    for i in range(Int(thread_idx.x), Int(rows), MANY_THREADS):
        if target.unsafe_load(i) != ignore_index:
            counted += 1
    return RowGroup[False, MANY_THREADS].sum(counted)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MANY_THREADS)))
def reduce_kernel[
    dtype: DType
](
    loss: Ptr[dtype],
    losses: Ptr[F32],
    target: Ptr[DType.int64],
    rows: Int64,
    ignore_index: Int64,
    reduction: Int64,
):
    """One block: the sum of the losses, divided by the number of targets that are not ignored for the mean.
    """
    var sum = Float32(0)
    for i in range(Int(thread_idx.x), Int(rows), MANY_THREADS):
        sum += losses.unsafe_load(i)
    sum = RowGroup[False, MANY_THREADS].sum(sum)
    var counted = counted_by_block(target, rows, ignore_index)
    if thread_idx.x == 0:
        put[1](loss, 0, SIMD[F32, 1](sum / counted if reduction == Int64(MEAN) else sum))


def cross_entropy_gpu[
    dtype: DType, //
](
    loss: Ptr[dtype],
    lse: Ptr[F64],
    logits: Ptr[dtype],
    target: Ptr[DType.int64],
    rows: Int,
    classes: Int,
    options: Options,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[loss_dtype: DType, threads: Int](to: Ptr[loss_dtype]) raises {var, imm ctx}:
        ctx.enqueue_function[cross_entropy_kernel[dtype, loss_dtype, threads]](
            to,
            lse,
            logits,
            target,
            Int64(rows),
            Int64(classes),
            options.smoothing,
            Int64(options.ignore_index),
            grid_dim=min(rows, MAX_GRID),
            block_dim=threads,
        )

    @always_inline
    def each_row[loss_dtype: DType](to: Ptr[loss_dtype]) raises {imm}:
        if rows == 0:
            return
        if classes <= BLOCK * 4 * gpu_width[dtype]():
            launch[loss_dtype, BLOCK](to)
        else:
            launch[loss_dtype, MANY_THREADS](to)

    if options.reduction == NO_REDUCTION:
        each_row[dtype](loss)
        return
    var buffer = ctx.enqueue_create_buffer[F32](max(rows, 1))
    var losses = buffer.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin]()
    each_row[F32](losses)
    ctx.enqueue_function[reduce_kernel[dtype]](
        loss,
        losses,
        target,
        Int64(rows),
        Int64(options.ignore_index),
        Int64(options.reduction),
        grid_dim=1,
        block_dim=MANY_THREADS,
    )
    _ = buffer^
