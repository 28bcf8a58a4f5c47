"""Elementwise ops, which compute an output element from the input elements at the same position."""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.sys import align_of

from .gpu import BLOCK, aligned, gpu_item, gpu_width
from .parallel import GRAIN, split_flat
from .stream import streams
from .torch_call import Call
from .vectors import F32, Ptr, put, up, vector_loop

comptime MAX_SCALARS = 8
comptime Scalars = Array[Float32, MAX_SCALARS]


trait Formula:
    """An element of the output, or a vector of them, in float32."""

    comptime TENSORS: Int

    @staticmethod
    def of[width: Int](x: Array[SIMD[F32, width], Self.TENSORS], scalars: Scalars) -> SIMD[F32, width]:
        """The value for the elements of the inputs and the scalars, both in the order of the schema."""
        ...


@always_inline
def write[
    F: Formula, dtype: DType, width: Int, alignment: Int = align_of[dtype](), stream: Bool = False
](y: Ptr[dtype], tensors: Array[Ptr[dtype], F.TENSORS], scalars: Scalars, i: Int):
    var x = Array[SIMD[F32, width], F.TENSORS](uninitialized=True)
    comptime for t in range(F.TENSORS):
        x[t] = up[width, alignment](tensors[t], i)
    put[width, alignment, stream](y, i, F.of[width](x, scalars))


def elementwise_cpu[
    F: Formula, dtype: DType
](y: Ptr[dtype], tensors: Array[Ptr[dtype], F.TENSORS], scalars: Scalars, n: Int, fresh: Bool):
    var past_cache = streams(y, n, GRAIN, fresh)

    def chunk(first: Int, last: Int) {var y, imm tensors, imm scalars, var past_cache}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var y, imm tensors, imm scalars}:
            write[F, dtype, width, stream=stream](y, tensors, scalars, i)

        vector_loop(body, first, last, past_cache)

    split_flat(chunk, n)


def elementwise_kernel[
    F: Formula, dtype: DType, width: Int
](y: Ptr[dtype], tensors: Array[Ptr[dtype], F.TENSORS], scalars: Scalars, n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        write[F, dtype, width, width * align_of[dtype]()](y, tensors, scalars, first)
    else:
        for i in range(first, Int(n)):
            write[F, dtype, 1](y, tensors, scalars, i)


def elementwise_gpu[
    F: Formula, dtype: DType
](y: Ptr[dtype], tensors: Array[Ptr[dtype], F.TENSORS], scalars: Scalars, n: Int, ctx: DeviceContext,) raises:
    @always_inline
    def launch[width: Int]() raises {var y, imm tensors, imm scalars, var n, imm ctx}:
        ctx.enqueue_function[elementwise_kernel[F, dtype, width]](
            y, tensors, scalars, Int64(n), grid_dim=ceildiv(n, BLOCK * width), block_dim=BLOCK
        )

    var all_aligned = aligned(y)
    comptime for t in range(F.TENSORS):
        all_aligned = all_aligned and aligned(tensors[t])
    if all_aligned:
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


@always_inline
def elementwise[
    F: Formula, dtype: DType, target: StaticString
](call: Call, scalars: Scalars = Scalars(fill=0)) raises:
    """Writes the output of a call whose inputs all have its shape and dtype."""
    var tensors = Array[Ptr[dtype], F.TENSORS](uninitialized=True)
    comptime for t in range(F.TENSORS):
        tensors[t] = call.input(t).pointer[dtype]()
    var y = call.output(0).pointer[dtype]()
    var n = call.input(0).numel
    comptime if is_gpu[target]():
        elementwise_gpu[F, dtype](y, tensors, scalars, n, call.device())
    else:
        elementwise_cpu[F, dtype](y, tensors, scalars, n, call.fresh)
