"""Op silu_and_mul_backward: the gradients of silu(a) b by the halves a and b of x, side by side; see silu.mojo.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of

from .common.gpu import aligned, gpu_width
from .common.row_pieces import GpuPlace, GpuRows
from .common.silu import check_halves, gate_gradients_at, half_shape, over_halves
from .common.stream import streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, Ptr


def silu_and_mul_backward_cpu[
    dtype: DType, //
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], rows: Int, d: Int, fresh: Bool):
    @always_inline
    def body[width: Int, stream: Bool](i: Int, at: Int) {var}:
        var yb = y.unsafe_offset(d)
        gate_gradients_at[width, stream=stream](y, yb, grad, i, x, x.unsafe_offset(d), at)

    over_halves(body, rows, d, streams(y, 2 * rows * d, d, fresh))


def silu_and_mul_backward_kernel[
    dtype: DType, width: Int
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], rows: Int64, columns: Int64):
    """One thread for `width` columns of a row; `columns` is a multiple of it."""
    comptime alignment = width * align_of[dtype]()
    var d = Int(columns)
    var place = GpuPlace(width)
    if place.column < d:
        for row in range(place.row, Int(rows), place.stride):
            var i = row * d + place.column
            var at = 2 * row * d + place.column
            gate_gradients_at[width, alignment](y, y.unsafe_offset(d), grad, i, x, x.unsafe_offset(d), at)


def silu_and_mul_backward_gpu[
    dtype: DType, //
](y: Ptr[dtype], grad: Ptr[dtype], x: Ptr[dtype], rows: Int, d: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        var grid = GpuRows(rows, d // width)
        ctx.enqueue_function[silu_and_mul_backward_kernel[dtype, width]](
            y,
            grad,
            x,
            Int64(rows),
            Int64(d),
            grid_dim=(grid.blocks_x, grid.blocks_y),
            block_dim=(grid.threads_x, grid.threads_y),
        )

    comptime WIDTH = gpu_width[dtype]()
    if d % WIDTH == 0 and aligned(y) and aligned(grad) and aligned(x):
        launch[WIDTH]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "silu_and_mul_backward"
    comptime INPUTS: List[StaticString] = ["grad", "x"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_like(1, 0)
        check_halves(call, 1)
        var half = half_shape(call, 1)
        call.require_sizes(0, half.address(), half.rank, "x with half of its last dimension")

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(1), call.input(1).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var grad = call.input(0).pointer[dtype]()
        var x = call.input(1).pointer[dtype]()
        var d = call.input(0).size(call.input(0).rank - 1)
        var rows = call.input(0).numel // d
        comptime if is_gpu[target]():
            silu_and_mul_backward_gpu(y, grad, x, rows, d, call.device())
        else:
            silu_and_mul_backward_cpu(y, grad, x, rows, d, call.fresh)
