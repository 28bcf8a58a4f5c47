"""Op linear_w8: y[m, n] = scales[n] * sum_k x[m, k] * weight[n, k] + bias[n].

The weight is int8, a quarter of float32's memory. It is widened in registers and
read once for each block of x that stays in the L2 cache; at batch 1 the op is
bound by reading the weight. Many rows of bfloat16 are multiplied by PyTorch's own
product, where the CPU has instructions for that dtype. The GPU half is in
common/gpu_w8.mojo.
"""

from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.memory import Pointer
from std.sys import CompilationTarget, size_of

from .common.gpu_w8 import linear_w8_gpu
from .common.linear_w8_layer import I8, Layer, any
from .common.parallel import split, split_flat
from .common.row_pieces import over_rows
from .common.stream import fetch
from .common.torch_abi import BFLOAT16, INT8, Handle, View, empty, release
from .common.torch_matmul import Matrix, matmul
from .common.torch_op import Call, Message, Pass, Passes, PassList, Shape, TorchOp, launch, launch_pass
from .common.vectors import CACHE_LINE, FLOATS, F32, LANES, Ptr, put, up, vector_loop

# Rows of the weight, whose results are neighbours in the output: the group that a
# thread computes at once, and how many of them a tile takes for one row of x and
# for several (cpp_ext/docs/measurements.md, “int8 weights”).
comptime GROUP = 8
comptime ONE_ROW = 8 if LANES >= 8 else 4
comptime ROWS = 4
comptime TILE = 6 if LANES == 16 else 3  # rows of x: as many sums as there are registers for
comptime SUM_LENGTH = 4096  # elements of x after which sums restart: longer ones lose digits
comptime BLOCK_BYTES = 512 << 10  # of x, half of a second-level cache

# oneDNN multiplies pairs of bfloat16 in one instruction, which these kernels do not:
# from 16 rows on its product is faster (cpp_ext/docs/measurements.md, “int8 weights”).
comptime PRODUCT = CompilationTarget._has_feature["avx512bf16"]()
comptime PRODUCT_ROWS = 24
comptime PRODUCT_BYTES = 8 << 20  # of weights widened at a time


@always_inline
def fetch_below[N: Int](w: Ptr[I8], d: Int):
    """Prefetches a line of each of the next `N` rows of the weight into L2.

    The hardware prefetcher stops at a page boundary (cpp_ext/docs/measurements.md, “Prefetching weights”).
    """
    comptime for j in range(N):
        fetch(w.unsafe_offset((N + j) * d))


@always_inline
def add_products[
    dtype: DType, //, M: Int, N: Int
](mut sums: Array[SIMD[F32, LANES], M * N], x: Ptr[dtype], w: Ptr[I8], d: Int):
    """Adds the products of a vector of `M` rows of x with `N` rows of the weight."""
    var v = Array[SIMD[F32, LANES], M](fill=0)
    comptime for i in range(M):
        v[i] = up[LANES](x, i * d)
    comptime for j in range(N):
        var wide = up[LANES](w, j * d)
        comptime for i in range(M):
            sums[i * N + j] = v[i].fma(wide, sums[i * N + j])


@always_inline
def tile[dtype: DType, //, M: Int, N: Int](layer: Layer[dtype], m: Int, n: Int):
    """`M` rows of x by `N` rows of the weight."""
    var d = layer.inputs
    var x = any(layer.x).unsafe_offset(m * d)
    var w = any(layer.weight).unsafe_offset(n * d)
    var totals = Array[SIMD[F32, LANES], M * N](fill=0)
    var k = 0
    while min(d, k + SUM_LENGTH) - k >= LANES:
        var end = min(d, k + SUM_LENGTH)
        var sums = Array[SIMD[F32, LANES], M * N](fill=0)
        while k + CACHE_LINE <= end:
            fetch_below[N](w.unsafe_offset(k), d)
            comptime for part in range(CACHE_LINE // LANES):
                add_products[M, N](
                    sums, x.unsafe_offset(k + part * LANES), w.unsafe_offset(k + part * LANES), d
                )
            k += CACHE_LINE
        while k + LANES <= end:
            add_products[M, N](sums, x.unsafe_offset(k), w.unsafe_offset(k), d)
            k += LANES
        comptime for i in range(M * N):
            totals[i] += sums[i]
    comptime for i in range(M):
        comptime for j in range(N):
            var rest = totals[i * N + j].reduce_add()
            for last in range(k, d):
                rest += up[1](x, i * d + last)[0] * up[1](w, j * d + last)[0]
            layer.finish(m + i, n + j, rest)


@always_inline
def tile_rows[dtype: DType, //, M: Int](layer: Layer[dtype], m: Int, first: Int, stop: Int):
    comptime MOST = ONE_ROW if M == 1 else ROWS
    var n = first
    while n + MOST <= stop:
        tile[M, MOST](layer, m, n)
        n += MOST
    comptime if MOST > ROWS:
        if n + ROWS <= stop:
            tile[M, ROWS](layer, m, n)
            n += ROWS
    for j in range(n, stop):
        tile[M, 1](layer, m, j)


def linear_w8_cpu[dtype: DType, //](layer: Layer[dtype]):
    var row_bytes = max(1, layer.inputs * size_of[dtype]())
    var block = max(1, BLOCK_BYTES // row_bytes // TILE) * TILE

    def chunk(begin: Int, end: Int) {var}:
        for first in range(0, layer.batch, block):
            var last = min(first + block, layer.batch)
            for group in range(begin, end):
                var n = group * GROUP
                var stop = min(n + GROUP, layer.outputs)
                var m = first
                while m < last:
                    if last - m >= TILE:
                        tile_rows[TILE](layer, m, n, stop)
                        m += TILE
                    elif last - m >= 4:
                        tile_rows[4](layer, m, n, stop)
                        m += 4
                    elif last - m >= 2:
                        tile_rows[2](layer, m, n, stop)
                        m += 2
                    else:
                        tile_rows[1](layer, m, n, stop)
                        m += 1

    # One weight counts as a quarter of an element of a memory-bound op.
    split(chunk, ceildiv(layer.outputs, GROUP), layer.outputs * layer.inputs * layer.batch // 4)


def widen_cpu[dtype: DType, //](wide: Ptr[dtype], weight: Ptr[I8], n: Int):
    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            put[width](wide, i, up[width](weight, i))

        vector_loop(body, first, last)

    split_flat(chunk, n)


def finish_cpu[
    dtype: DType, //
](y: Ptr[dtype], scales: Ptr[dtype], bias: Ptr[dtype], has_bias: Bool, rows: Int, d: Int):
    """Applies scales and bias in place."""

    @always_inline
    def scaled[width: Int, stream: Bool](row: Int, column: Int) {var}:
        put[width](y, row * d + column, up[width](y, row * d + column) * up[width](scales, column))

    @always_inline
    def with_bias[width: Int, stream: Bool](row: Int, column: Int) {var}:
        var v = up[width](y, row * d + column)
        put[width](y, row * d + column, v.fma(up[width](scales, column), up[width](bias, column)))

    if has_bias:
        over_rows(with_bias, rows, d)
    else:
        over_rows(scaled, rows, d)


# ---- binding ----


struct Widen(Pass):
    """Widens a block of the weight, input 1, to the dtype of x."""

    comptime NAME: StaticString = "widen"

    @staticmethod
    def run[dtype: DType](call: Call):
        widen_cpu(call.output(0).pointer[dtype](), call.input(1).pointer[I8](), call.input(1).numel)


struct Finish(Pass):
    """Applies scales and bias to the products in the output."""

    comptime NAME: StaticString = "finish"

    @staticmethod
    def run[dtype: DType](call: Call):
        var n = call.input(1).size(0)
        finish_cpu(
            call.output(0).pointer[dtype](),
            call.input(2).pointer[dtype](),
            call.input(3).pointer[dtype](),
            call.input(3).defined,
            call.output(0).numel // n,
            n,
        )


struct Op(TorchOp):
    comptime NAME: StaticString = "linear_w8"
    comptime INPUTS: List[StaticString] = ["x", "weight", "scales", "bias"]
    comptime OPTIONAL: List[StaticString] = ["bias"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime DTYPES = FLOATS
    comptime PASSES: PassList = Passes[Widen, Finish]

    @staticmethod
    def check(call: Call) raises Message:
        var x = call.input(0)
        var weight = call.input(1)
        call.require_device(1, 0)
        call.require_dtype(1, INT8)
        call.require_dimension(0)
        call.require_rank(1, 2, "out, in")
        if weight.size(1) != x.size(x.rank - 1):
            var message = call.refuse_shape(1)
            message.write("[out, ", x.size(x.rank - 1), "], the last dimension of x")
            raise message^
        for i in range(2, 4):
            call.require_like(i, 0)
            call.require_sizes(i, weight.sizes_from(0), 1, "the rows of weight")

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        var sizes = Shape(call.input(0), call.input(0).rank)
        sizes.put(sizes.rank - 1, call.input(1).size(0))
        return sizes^

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "x with the rows of weight"

    @staticmethod
    def drive[engine: Int](call: Call) raises Message:
        var x = call.input(0)
        var weight = call.input(1)
        var y = call.output(0)
        var n = weight.size(0)
        var k = weight.size(1)
        var batch = y.numel // n
        comptime if PRODUCT:
            if x.dtype == BFLOAT16 and batch >= PRODUCT_ROWS and k > 0:
                var block = max(1, PRODUCT_BYTES // 2 // k)
                var sizes = Shape(weight, 2)
                sizes.put(0, min(block, n))
                var scratch = empty(sizes.address(), 2, x.dtype)
                if not scratch:
                    var message = call.refuse_call()
                    message.write("no memory for ", min(block, n), " x ", k, " widened weights")
                    raise message^
                try:
                    Self.by_product[engine](call, View(scratch), block)
                except error:
                    release(scratch)
                    raise error^
                release(scratch)
                return
        launch[Self, engine](call)

    @staticmethod
    def by_product[engine: Int](call: Call, wide: View, block: Int) raises Message:
        """Widens blocks of the weight, which is exact, and multiplies; scales and bias follow in place."""
        var x = call.input(0)
        var weight = call.input(1)
        var y = call.output(0)
        var part = Call(call.op, call.inputs, False, call.name_of)
        for i in range(call.inputs + 1):
            part.put(i, call.view(i))
        var n = weight.size(0)
        var k = weight.size(1)
        var batch = y.numel // n
        for first in range(0, n, block):
            var rows = min(block, n - first)
            var codes = weight
            codes.data += first * k
            codes.numel = rows * k
            part.put(1, codes)
            part.put(part.inputs, wide)
            launch_pass[Self, engine, Widen](part)
            var columns = Matrix(y.data + 2 * first, batch, rows, n, 1)
            if not matmul(
                x.dtype, Matrix(x.data, batch, k), Matrix(wide.data, rows, k).transposed(), columns
            ):
                var message = part.refuse_call()
                message.write("PyTorch's matrix product failed")
                raise message^
        part.put(1, weight)
        part.put(part.inputs, y)
        launch_pass[Self, engine, Finish](part)

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var layer = Layer[dtype](
            call.output(0).pointer[dtype](),
            call.input(0).pointer[dtype](),
            call.input(1).pointer[I8](),
            call.input(2).pointer[dtype](),
            call.input(3).pointer[dtype](),
            call.input(3).defined,
            call.output(0).numel // call.input(1).size(0),
            call.input(1).size(1),
            call.input(1).size(0),
        )
        comptime if is_gpu[target]():
            linear_w8_gpu(layer, call.device())
        else:
            linear_w8_cpu(layer)
