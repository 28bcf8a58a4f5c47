"""Op layer_norm: y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension.

Ba, Kiros and Hinton, https://arxiv.org/abs/1607.06450, equation 4. The second
pass over a row finds it in the cache, so the op is bound by one read and one write.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of
from std.utils import StaticTuple

from .common.gpu import aligned, gpu_width
from .common.gpu_rows import MOST_THREADS, BlockRow, Places, for_block_rows, moments_of_block
from .common.parallel import split
from .common.rows import Moments, moments_of
from .common.stream import prefetch_row, streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, F32, Ptr, put, up, vector_loop


@always_inline
def normalise_at[
    dtype: DType,
    //,
    has_bias: Bool,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], v: SIMD[F32, width], w: Ptr[dtype], b: Ptr[dtype], m: Moments, i: Int):
    var h = m.normalised(v)
    comptime if has_bias:
        put[width, alignment, stream](y, i, h.fma(up[width, alignment](w, i), up[width, alignment](b, i)))
    else:
        put[width, alignment, stream](y, i, h * up[width, alignment](w, i))


@always_inline
def layer_norm_row[
    dtype: DType, //, has_bias: Bool, past_cache: Bool
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], b: Ptr[dtype], d: Int, eps: Float32):
    var m = moments_of[past_cache](x, d, eps)

    @always_inline
    def body[width: Int, stream: Bool](i: Int) {var}:
        comptime if stream:
            prefetch_row[width](x, d + i)
        normalise_at[has_bias, width, stream=stream](y, up[width](x, i), w, b, m, i)

    vector_loop(body, 0, d, past_cache)


def layer_norm_cpu[
    dtype: DType, //, has_bias: Bool
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], b: Ptr[dtype], rows: Int, d: Int, eps: Float32, fresh: Bool):
    var past_cache = streams(y, rows * d, d, fresh)

    def chunk(first: Int, last: Int) {var}:
        for row in range(first, last):
            var xr = x.unsafe_offset(row * d)
            var yr = y.unsafe_offset(row * d)
            if past_cache:
                layer_norm_row[has_bias, True](yr, xr, w, b, d, eps)
            else:
                layer_norm_row[has_bias, False](yr, xr, w, b, d, eps)

    split(chunk, rows, rows * d)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(MOST_THREADS)))
def layer_norm_kernel[
    dtype: DType, width: Int, vectors: Int, has_bias: Bool
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], b: Ptr[dtype], columns: Int64, eps: Float32):
    """One block a row; `columns` is a multiple of `width`."""
    comptime Row = BlockRow[dtype, width, vectors]
    var places = Places[width, vectors](Int(columns))
    var row = Row(x.unsafe_offset(Int(block_idx.x) * places.d), places)
    var yr = y.unsafe_offset(Int(block_idx.x) * places.d)
    var m = moments_of_block(row, places, eps)

    @always_inline
    def write[h: Int](i: Int) {imm row, var}:
        normalise_at[has_bias, width, Row.ALIGNMENT](yr, row.at[h](i), w, b, m, i)

    places.each(write)


def layer_norm_gpu[
    dtype: DType, //, has_bias: Bool
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    b: Ptr[dtype],
    rows: Int,
    d: Int,
    eps: Float32,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int, vectors: Int](threads: Int) raises {var, imm ctx}:
        ctx.enqueue_function[layer_norm_kernel[dtype, width, vectors, has_bias]](
            y, x, w, b, Int64(d), eps, grid_dim=rows, block_dim=threads
        )

    var whole_vectors = (
        d % gpu_width[dtype]() == 0
        and aligned(y)
        and aligned(x)
        and aligned(w)
        and (not has_bias or aligned(b))
    )
    for_block_rows[dtype, MOST_THREADS](launch, d, whole_vectors)


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "layer_norm"
    comptime INPUTS: List[StaticString] = ["x", "weight", "bias"]
    comptime OPTIONAL: List[StaticString] = ["bias"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        var x = call.input(0)
        call.require_dimension(0)
        for i in range(1, 3):
            call.require_like(i, 0)
            call.require_sizes(i, x.sizes_from(x.rank - 1), 1, "the last dimension of x")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var w = call.input(1).pointer[dtype]()
        var b = call.input(2).pointer[dtype]()
        var d = call.input(1).numel
        var rows = call.output(0).numel // d
        var eps = call.real(0)

        @always_inline
        def norm[has_bias: Bool]() raises {var, imm call}:
            comptime if is_gpu[target]():
                layer_norm_gpu[has_bias](y, x, w, b, rows, d, eps, call.device())
            else:
                layer_norm_cpu[has_bias](y, x, w, b, rows, d, eps, call.fresh)

        if call.input(2).defined:
            norm[True]()
        else:
            norm[False]()
