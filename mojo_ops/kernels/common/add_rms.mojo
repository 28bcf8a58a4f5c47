"""The kernel of add_rms_norm and, in place, of fused_add_rms_norm.

    total = x + residual
    y = total / sqrt(mean(total^2) + eps) * weight

In place, total is residual and y is x. The sum is rounded to the storage dtype
before it is normalised, so the result is that of an addition followed by
rms_norm.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import sqrt
from std.sys import align_of
from std.utils import StaticTuple

from .gpu import aligned, gpu_width
from .gpu_block import block_sum
from .gpu_rows import MOST_THREADS, Places, for_block_rows
from .parallel import split
from .rms import scale_at, sum_of_squares
from .stream import fetch_along, prefetch_row, streams
from .torch_call import Call
from .torch_message import Message
from .vectors import F32, Ptr, down, put, up, vector_loop


@always_inline
def added[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
](x: Ptr[dtype], residual: Ptr[dtype], i: Int) -> SIMD[F32, width]:
    return up[width, alignment](x, i) + up[width, alignment](residual, i)


@always_inline
def rounded[dtype: DType, width: SIMDLength](v: SIMD[F32, width]) -> SIMD[F32, width]:
    """The value that `put` stores for v; the compiler computes the rounding once."""
    return down[dtype](v).cast[F32]()


@always_inline
def add_rms_row[
    dtype: DType, //
](
    y: Ptr[dtype],
    total: Ptr[dtype],
    x: Ptr[dtype],
    residual: Ptr[dtype],
    w: Ptr[dtype],
    d: Int,
    eps: Float32,
):
    """The first pass writes the sum, and the second one reads it from the L1 cache."""

    @always_inline
    def add_and_keep[width: Int](i: Int) {var} -> SIMD[F32, width]:
        var v = added[width](x, residual, i)
        put[width](total, i, v)
        return rounded[dtype](v)

    var scale = 1 / sqrt(sum_of_squares(add_and_keep, d) / Float32(d) + eps)

    @always_inline
    def body[width: Int, stream: Bool](i: Int) {var}:
        scale_at[width](y, total, w, scale, i)

    vector_loop(body, 0, d)


@always_inline
def add_rms_row_past_cache[
    dtype: DType, //
](
    y: Ptr[dtype],
    total: Ptr[dtype],
    x: Ptr[dtype],
    residual: Ptr[dtype],
    w: Ptr[dtype],
    d: Int,
    eps: Float32,
):
    """Computes the sum in both passes, because a sum that is written past the cache cannot be read from
    it."""

    @always_inline
    def value[width: Int](i: Int) {var} -> SIMD[F32, width]:
        fetch_along[width](x, i)
        fetch_along[width](residual, i)
        return rounded[dtype](added[width](x, residual, i))

    var scale = 1 / sqrt(sum_of_squares(value, d) / Float32(d) + eps)

    @always_inline
    def body[width: Int, stream: Bool](i: Int) {var}:
        prefetch_row[width](x, d + i)
        prefetch_row[width](residual, d + i)
        var v = added[width](x, residual, i)
        put[width, stream=stream](total, i, v)
        put[width, stream=stream](y, i, rounded[dtype](v) * scale * up[width](w, i))

    vector_loop(body, 0, d, True)


def add_rms_cpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    total: Ptr[dtype],
    x: Ptr[dtype],
    residual: Ptr[dtype],
    w: Ptr[dtype],
    rows: Int,
    d: Int,
    eps: Float32,
    past_cache: Bool,
):
    def chunk(first: Int, last: Int) {var}:
        for row in range(first, last):
            var yr = y.unsafe_offset(row * d)
            var tr = total.unsafe_offset(row * d)
            var xr = x.unsafe_offset(row * d)
            var rr = residual.unsafe_offset(row * d)
            if past_cache:
                add_rms_row_past_cache(yr, tr, xr, rr, w, d, eps)
            else:
                add_rms_row(yr, tr, xr, rr, w, d, eps)

    split(chunk, rows, rows * d)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MOST_THREADS)))
def add_rms_kernel[
    dtype: DType, width: Int, vectors: Int
](
    y: Ptr[dtype],
    total: Ptr[dtype],
    x: Ptr[dtype],
    residual: Ptr[dtype],
    w: Ptr[dtype],
    columns: Int64,
    eps: Float32,
):
    """One block per row; `columns` is a multiple of `width`. Each thread keeps its first sums in registers
    and reads the others back from memory."""
    comptime alignment = width * align_of[dtype]()
    var places = Places[width, vectors](Int(columns))
    var at = Int(block_idx.x) * places.d
    var yr = y.unsafe_offset(at)
    var tr = total.unsafe_offset(at)
    var xr = x.unsafe_offset(at)
    var rr = residual.unsafe_offset(at)
    var held = Array[SIMD[dtype, width], vectors](fill=0)
    var squares = SIMD[F32, width](0)

    @always_inline
    def add[h: Int](i: Int) {var tr, var xr, var rr, mut held, mut squares}:
        var sum = down[dtype](added[width, alignment](xr, rr, i))
        tr.unsafe_store[alignment=alignment](i, sum)
        var v = sum.cast[F32]()
        squares = v.fma(v, squares)
        comptime if h >= 0:
            held[h] = sum

    places.each(add)
    var scale = 1 / sqrt(block_sum(squares.reduce_add()) / Float32(places.d) + eps)

    @always_inline
    def write[h: Int](i: Int) {imm held, var yr, var tr, var w, var scale}:
        var v: SIMD[F32, width]
        comptime if h >= 0:
            v = held[h].cast[F32]()
        else:
            v = up[width, alignment](tr, i)
        put[width, alignment](yr, i, v * scale * up[width, alignment](w, i))

    places.each(write)


def add_rms_gpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    total: Ptr[dtype],
    x: Ptr[dtype],
    residual: Ptr[dtype],
    w: Ptr[dtype],
    rows: Int,
    d: Int,
    eps: Float32,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int, vectors: Int](threads: Int) raises {var, imm ctx}:
        ctx.enqueue_function[add_rms_kernel[dtype, width, vectors]](
            y, total, x, residual, w, Int64(d), eps, grid_dim=rows, block_dim=threads
        )

    var whole_vectors = (
        d % gpu_width[dtype]() == 0
        and aligned(y)
        and aligned(total)
        and aligned(x)
        and aligned(residual)
        and aligned(w)
    )
    for_block_rows[dtype, MOST_THREADS](launch, d, whole_vectors)


def check_add_rms(call: Call) raises Message:
    """Raises if x, residual and weight do not match."""
    call.require_like(1, 0)
    call.require_like(2, 0)
    var x = call.input(0)
    call.require_dimension(0)
    call.require_sizes(2, x.sizes_from(x.rank - 1), 1, "the last dimension of x")
    call.require_sizes(1, x.sizes_from(0), x.rank, "the shape of x")


def add_rms[dtype: DType, target: StaticString](call: Call) raises:
    """Runs the kernel for a checked call of x, residual, weight and eps."""
    var y = call.output(0).pointer[dtype]()
    var total = call.output(1).pointer[dtype]()
    var x = call.input(0).pointer[dtype]()
    var residual = call.input(1).pointer[dtype]()
    var w = call.input(2).pointer[dtype]()
    var d = call.input(2).numel
    var n = call.input(0).numel
    var eps = call.real(0)
    comptime if is_gpu[target]():
        add_rms_gpu(y, total, x, residual, w, n // d, d, eps, call.device())
    else:
        # Not past the cache in place: the lines that are written were just read, so they are in the cache.
        var past_cache = y != x and streams(y, n, d, call.fresh) and streams(total, n, d, call.fresh)
        add_rms_cpu(y, total, x, residual, w, n // d, d, eps, past_cache)
