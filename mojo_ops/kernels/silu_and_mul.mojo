"""Op silu_and_mul: y = silu(a) b, silu(a) = a / (1 + exp(-a)), of the halves a and b of x.

Shazeer, https://arxiv.org/abs/2002.05202, equation 6 (SwiGLU), behind one
product with both weights.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of

from .common.gpu import aligned, gpu_width
from .common.row_pieces import GpuPlace, GpuRows
from .common.silu import check_halves, gate_at, half_shape, over_halves
from .common.stream import streams
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import FLOATS, Ptr


def silu_and_mul_cpu[dtype: DType, //](y: Ptr[dtype], x: Ptr[dtype], rows: Int, d: Int, fresh: Bool):
    @always_inline
    def body[width: Int, stream: Bool](i: Int, at: Int) {var}:
        gate_at[width, stream=stream](y, i, x, x.unsafe_offset(d), at)

    over_halves(body, rows, d, streams(y, rows * d, d, fresh))


def silu_and_mul_kernel[dtype: DType, width: Int](y: Ptr[dtype], x: Ptr[dtype], rows: Int64, columns: Int64):
    """One thread for `width` columns of a row; `columns` is a multiple of it."""
    comptime alignment = width * align_of[dtype]()
    var d = Int(columns)
    var place = GpuPlace(width)
    if place.column < d:
        for row in range(place.row, Int(rows), place.stride):
            var at = 2 * row * d + place.column
            gate_at[width, alignment](y, row * d + place.column, x, x.unsafe_offset(d), at)


def silu_and_mul_gpu[
    dtype: DType, //
](y: Ptr[dtype], x: Ptr[dtype], rows: Int, d: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        var grid = GpuRows(rows, d // width)
        ctx.enqueue_function[silu_and_mul_kernel[dtype, width]](
            y,
            x,
            Int64(rows),
            Int64(d),
            grid_dim=(grid.blocks_x, grid.blocks_y),
            block_dim=(grid.threads_x, grid.threads_y),
        )

    comptime WIDTH = gpu_width[dtype]()
    if d % WIDTH == 0 and aligned(y) and aligned(x):
        launch[WIDTH]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "silu_and_mul"
    comptime INPUTS: List[StaticString] = ["x"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        check_halves(call, 0)

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return half_shape(call, 0)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "x with half of its last dimension"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var d = call.output(0).size(call.output(0).rank - 1)
        var rows = call.output(0).numel // d
        comptime if is_gpu[target]():
            silu_and_mul_gpu(y, x, rows, d, call.device())
        else:
            silu_and_mul_cpu(y, x, rows, d, call.fresh)
