"""Op softmax_backward: the gradient of softmax(scale x + mask) by x, scale out (grad - sum of grad out).

The sum is over the last dimension: the Jacobian of softmax is diag(out) - out out^T.
"""

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of
from std.utils import StaticTuple

from .common.gpu import aligned, gpu_width
from .common.gpu_row_groups import RowGroup, for_row_groups
from .common.log_sum_exp import write_row
from .common.parallel import split
from .common.rows import Sums, sums_of_row
from .common.stream import prefetch_row, streams
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import F32, FLOATS, Ptr, put, up


def softmax_backward_cpu[
    dtype: DType, //
](y: Ptr[dtype], grad: Ptr[dtype], output: Ptr[dtype], rows: Int, n: Int, scale: Float32, fresh: Bool):
    var past_cache = streams(y, rows * n, 1024, fresh)

    def chunk(first: Int, last: Int) {var}:
        for row in range(first, last):
            var g = grad.unsafe_offset(row * n)
            var out = output.unsafe_offset(row * n)

            @always_inline
            def products[width: Int](i: Int, mut sums: Sums[width, 1]) {var g, var out}:
                sums[0] = up[width](g, i).fma(up[width](out, i), sums[0])

            var sum = sums_of_row[1](products, n)[0]

            @always_inline
            def gradient[width: Int](i: Int) {var g, var out, var sum, var scale, var n} -> SIMD[F32, width]:
                prefetch_row[width](g, n + i)
                prefetch_row[width](out, n + i)
                return (up[width](g, i) - sum) * (up[width](out, i) * scale)

            write_row(y.unsafe_offset(row * n), gradient, 0, n, past_cache)

    split(chunk, rows, rows * n)


@__llvm_metadata(MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(threads)))
def softmax_backward_kernel[
    dtype: DType, width: Int, threads: Int, is_warp: Bool
](y: Ptr[dtype], grad: Ptr[dtype], output: Ptr[dtype], rows: Int64, columns: Int64, scale: Float32):
    """Threads keep what they read for the sum in registers; what does not fit is read again, from the
    second-level cache. `columns` is a multiple of `width`."""
    comptime Group = RowGroup[is_warp, threads]
    comptime VECTORS = Group.held[width, 2]()
    comptime Vector = SIMD[dtype, width]
    comptime alignment = width * align_of[dtype]()
    var n = Int(columns)
    for row in range(Group.first_row(), Int(rows), Group.row_step()):
        var g = grad.unsafe_offset(row * n)
        var out = output.unsafe_offset(row * n)
        var yr = y.unsafe_offset(row * n)
        var held_g = Array[Vector, VECTORS](fill=0)
        var held_out = Array[Vector, VECTORS](fill=0)
        var products = Float32(0)

        @always_inline
        def add(a: SIMD[F32, width], b: SIMD[F32, width]) {mut products}:
            comptime for k in range(width):
                products = a[k].fma(b[k], products)

        comptime for h in range(VECTORS):
            var i = (Group.lane() + h * Group.width()) * width
            if i < n:
                held_g[h] = g.unsafe_load[width=width, alignment=alignment](i)
                held_out[h] = out.unsafe_load[width=width, alignment=alignment](i)
                add(held_g[h].cast[F32](), held_out[h].cast[F32]())
        var rest = (Group.lane() + VECTORS * Group.width()) * width
        for i in range(rest, n, Group.width() * width):
            add(up[width, alignment](g, i), up[width, alignment](out, i))
        var sum = Group.sum(products)
        comptime for h in range(VECTORS):
            var i = (Group.lane() + h * Group.width()) * width
            if i < n:
                put[width, alignment](
                    yr, i, (held_g[h].cast[F32]() - sum) * (held_out[h].cast[F32]() * scale)
                )
        for i in range(rest, n, Group.width() * width):
            put[width, alignment](
                yr, i, (up[width, alignment](g, i) - sum) * (up[width, alignment](out, i) * scale)
            )


def softmax_backward_gpu[
    dtype: DType, //
](
    y: Ptr[dtype],
    grad: Ptr[dtype],
    output: Ptr[dtype],
    rows: Int,
    n: Int,
    scale: Float32,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch_width[width: Int]() raises {var, imm ctx}:
        @always_inline
        def launch[is_warp: Bool, threads: Int](blocks: Int) raises {var, imm ctx}:
            ctx.enqueue_function[softmax_backward_kernel[dtype, width, threads, is_warp]](
                y, grad, output, Int64(rows), Int64(n), scale, grid_dim=blocks, block_dim=threads
            )

        for_row_groups(launch, rows, n, width)

    comptime WIDTH = gpu_width[dtype]()
    if n % WIDTH == 0 and aligned(y) and aligned(grad) and aligned(output):
        launch_width[WIDTH]()
    else:
        launch_width[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "softmax_backward"
    comptime INPUTS: List[StaticString] = ["grad", "output"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS
    comptime IN_PLACE = True

    @staticmethod
    def check(call: Call) raises Message:
        var grad = call.input(0)
        call.require_dimension(0)
        call.require_like(1, 0)
        call.require_sizes(1, grad.sizes_from(0), grad.rank, "the shape of grad")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of grad"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var output = call.input(1).pointer[dtype]()
        var n = call.output(0).size(call.output(0).rank - 1)
        var rows = call.output(0).numel // n
        var scale = call.real(0)
        comptime if is_gpu[target]():
            softmax_backward_gpu(y, grad, output, rows, n, scale, call.device())
        else:
            softmax_backward_cpu(y, grad, output, rows, n, scale, call.fresh)
