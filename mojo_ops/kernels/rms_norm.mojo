"""Op rms_norm: y = x / sqrt(mean(x^2) + eps) * weight over the last dimension.

Zhang and Sennrich, https://arxiv.org/abs/1910.07467. The second pass over a row
finds it in the cache, so the op is bound by one read and one write.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import sqrt
from std.utils import StaticTuple

from .common.gpu import aligned, gpu_width
from .common.gpu_block import block_sum
from .common.gpu_rows import MOST_THREADS, BlockRow, Places, for_block_rows
from .common.parallel import split
from .common.rms import scale_at, sum_of_squares
from .common.stream import fetch_along, prefetch_row, streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, F32, Ptr, put, up, vector_loop


@always_inline
def rms_norm_row[
    dtype: DType, //, past_cache: Bool
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], d: Int, eps: Float32):
    @always_inline
    def value[width: Int](i: Int) {var} -> SIMD[F32, width]:
        comptime if past_cache:
            fetch_along[width](x, i)
        return up[width](x, i)

    var scale = 1 / sqrt(sum_of_squares(value, d) / Float32(d) + eps)

    @always_inline
    def body[width: Int, stream: Bool](i: Int) {var}:
        comptime if stream:
            prefetch_row[width](x, d + i)
        scale_at[width, stream=stream](y, x, w, scale, i)

    vector_loop(body, 0, d, past_cache)


def rms_norm_cpu[
    dtype: DType, //
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], rows: Int, d: Int, eps: Float32, fresh: Bool):
    var past_cache = streams(y, rows * d, d, fresh)

    def chunk(first: Int, last: Int) {var}:
        for row in range(first, last):
            var xr = x.unsafe_offset(row * d)
            var yr = y.unsafe_offset(row * d)
            if past_cache:
                rms_norm_row[True](yr, xr, w, d, eps)
            else:
                rms_norm_row[False](yr, xr, w, d, eps)

    split(chunk, rows, rows * d)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MOST_THREADS)))
def rms_norm_kernel[
    dtype: DType, width: Int, vectors: Int
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], columns: Int64, eps: Float32):
    """One block a row; `columns` is a multiple of `width`."""
    comptime Row = BlockRow[dtype, width, vectors]
    var places = Places[width, vectors](Int(columns))
    var row = Row(x.unsafe_offset(Int(block_idx.x) * places.d), places)
    var yr = y.unsafe_offset(Int(block_idx.x) * places.d)
    var squares = SIMD[F32, width](0)

    @always_inline
    def add[h: Int](i: Int) {imm row, mut squares}:
        var v = row.at[h](i)
        squares = v.fma(v, squares)

    places.each(add)
    var scale = 1 / sqrt(block_sum(squares.reduce_add()) / Float32(places.d) + eps)

    @always_inline
    def write[h: Int](i: Int) {imm row, var}:
        put[width, Row.ALIGNMENT](yr, i, row.at[h](i) * scale * up[width, Row.ALIGNMENT](w, i))

    places.each(write)


def rms_norm_gpu[
    dtype: DType, //
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], rows: Int, d: Int, eps: Float32, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int, vectors: Int](threads: Int) raises {var, imm ctx}:
        ctx.enqueue_function[rms_norm_kernel[dtype, width, vectors]](
            y, x, w, Int64(d), eps, grid_dim=rows, block_dim=threads
        )

    var whole_vectors = d % gpu_width[dtype]() == 0 and aligned(y) and aligned(x) and aligned(w)
    for_block_rows[dtype, MOST_THREADS](launch, d, whole_vectors)


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "rms_norm"
    comptime INPUTS: List[StaticString] = ["x", "weight"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 1
    comptime IN_PLACE = False
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        var x = call.input(0)
        call.require_dimension(0)
        call.require_sizes(1, x.sizes_from(x.rank - 1), 1, "the last dimension of x")

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(0), call.input(0).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var w = call.input(1).pointer[dtype]()
        var d = call.input(1).numel
        var rows = call.output(0).numel // d
        comptime if is_gpu[target]():
            rms_norm_gpu(y, x, w, rows, d, call.real(0), call.device())
        else:
            rms_norm_cpu(y, x, w, rows, d, call.real(0), call.fresh)
