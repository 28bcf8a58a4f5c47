"""Op sum8: y = a + b + c + d + e + f + g + h, in this order.

A probe: a call with 8 tensors, to see what each of them costs on the way.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .common.gpu import BLOCK, aligned, gpu_item, gpu_width
from .common.parallel import split_flat
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import F32, Ptr, put, up, vector_loop


@always_inline
def sum8_at[
    width: Int, alignment: Int = align_of[F32]()
](
    y: Ptr[F32],
    a: Ptr[F32],
    b: Ptr[F32],
    c: Ptr[F32],
    d: Ptr[F32],
    e: Ptr[F32],
    f: Ptr[F32],
    g: Ptr[F32],
    h: Ptr[F32],
    i: Int,
):
    put[width, alignment](
        y,
        i,
        up[width, alignment](a, i)
        + up[width, alignment](b, i)
        + up[width, alignment](c, i)
        + up[width, alignment](d, i)
        + up[width, alignment](e, i)
        + up[width, alignment](f, i)
        + up[width, alignment](g, i)
        + up[width, alignment](h, i),
    )


def sum8_cpu(
    y: Ptr[F32],
    a: Ptr[F32],
    b: Ptr[F32],
    c: Ptr[F32],
    d: Ptr[F32],
    e: Ptr[F32],
    f: Ptr[F32],
    g: Ptr[F32],
    h: Ptr[F32],
    n: Int,
):
    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            sum8_at[width](y, a, b, c, d, e, f, g, h, i)

        vector_loop(body, first, last)

    split_flat(chunk, n)


def sum8_kernel[
    width: Int
](
    y: Ptr[F32],
    a: Ptr[F32],
    b: Ptr[F32],
    c: Ptr[F32],
    d: Ptr[F32],
    e: Ptr[F32],
    f: Ptr[F32],
    g: Ptr[F32],
    h: Ptr[F32],
    n: Int64,
):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        sum8_at[width, width * align_of[F32]()](y, a, b, c, d, e, f, g, h, first)
    else:
        for i in range(first, Int(n)):
            sum8_at[1](y, a, b, c, d, e, f, g, h, i)


def sum8_gpu(
    y: Ptr[F32],
    a: Ptr[F32],
    b: Ptr[F32],
    c: Ptr[F32],
    d: Ptr[F32],
    e: Ptr[F32],
    f: Ptr[F32],
    g: Ptr[F32],
    h: Ptr[F32],
    n: Int,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[sum8_kernel[width]](
            y, a, b, c, d, e, f, g, h, Int64(n), grid_dim=ceildiv(n, BLOCK * width), block_dim=BLOCK
        )

    if (
        aligned(y)
        and aligned(a)
        and aligned(b)
        and aligned(c)
        and aligned(d)
        and aligned(e)
        and aligned(f)
        and aligned(g)
        and aligned(h)
    ):
        launch[gpu_width[F32]()]()
    else:
        launch[1]()


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "sum8"
    comptime INPUTS: List[StaticString] = ["a", "b", "c", "d", "e", "f", "g", "h"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES: List[DType] = [F32]

    @staticmethod
    def check(call: Call) raises Message:
        comptime for i in range(1, 8):
            call.require_like(i, 0)
            call.require_sizes(i, call.input(0).sizes_from(0), call.input(0).rank, "the shape of a")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of a"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[F32]()
        var a = call.input(0).pointer[F32]()
        var b = call.input(1).pointer[F32]()
        var c = call.input(2).pointer[F32]()
        var d = call.input(3).pointer[F32]()
        var e = call.input(4).pointer[F32]()
        var f = call.input(5).pointer[F32]()
        var g = call.input(6).pointer[F32]()
        var h = call.input(7).pointer[F32]()
        var n = call.output(0).numel
        comptime if is_gpu[target]():
            sum8_gpu(y, a, b, c, d, e, f, g, h, n, call.device())
        else:
            sum8_cpu(y, a, b, c, d, e, f, g, h, n)
