"""Op gpt2_mlp: y = gelu_tanh(x @ w1 + b1) @ w2 + b2, the MLP of GPT-2, with weights [in, out].

Radford et al. 2019. A few rows, as in decoding, are one pass over the weights, see
common/few_rows.mojo. For more rows both products are PyTorch's own, and this kernel
adds the first bias and applies the GELU between them, in one pass in place. In a
dtype for which PyTorch has no product on this CPU, blocks of the weights are widened
and multiplied in float32.
"""

from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.sys import align_of

from .common.few_rows import FEW_ROWS, FEW_ROWS_OF_BFLOAT16, few_rows, pieces_of
from .common.gelu import gelu
from .common.gpu import aligned, gpu_width
from .common.row_pieces import GpuPlace, GpuRows, over_rows
from .common.scratch import free_floats, new_floats
from .common.torch_abi import BFLOAT16, FLOAT32, View, empty, release
from .common.torch_matmul import Matrix, has_product, matmul
from .common.torch_op import (
    WITHOUT_ENGINE,
    Call,
    Message,
    Pass,
    Passes,
    PassList,
    Shape,
    TorchOp,
    launch,
    launch_pass,
)
from .common.vectors import F32, FLOATS, Ptr, put, up

comptime WIDE_FLOATS = 2 << 20  # of weights widened at a time


@always_inline
def bias_gelu_at[
    dtype: DType, //, width: Int, alignment: Int = align_of[dtype]()
](y: Ptr[dtype], x: Ptr[dtype], bias: Ptr[dtype], i: Int, column: Int):
    put[width, alignment](y, i, gelu(up[width, alignment](x, i) + up[width, alignment](bias, column)))


def bias_gelu_cpu[dtype: DType, //](y: Ptr[dtype], x: Ptr[dtype], bias: Ptr[dtype], rows: Int, d: Int):
    @always_inline
    def body[width: Int, stream: Bool](row: Int, column: Int) {var}:
        bias_gelu_at[width](y, x, bias, row * d + column, column)

    over_rows(body, rows, d)


def widen_cpu[dtype: DType, //](wide: Ptr[F32], x: Ptr[dtype], rows: Int, d: Int, stride: Int):
    """Copies rows with a distance of `stride` into dense float32."""

    @always_inline
    def body[width: Int, stream: Bool](row: Int, column: Int) {var}:
        put[width](wide, row * d + column, up[width](x, row * stride + column))

    over_rows(body, rows, d)


def finish_cpu[
    dtype: DType, //, first: Bool
](y: Ptr[dtype], product: Ptr[F32], pieces: Int, bias: Ptr[dtype], rows: Int, d: Int, stride: Int):
    """Adds the bias to the product of a layer, which is the sum of `pieces`, and applies GELU to the first
    layer; rows of the result have a distance of `stride`.
    """

    @always_inline
    def body[width: Int, stream: Bool](row: Int, column: Int) {var}:
        var v = up[width](product, row * d + column)
        for piece in range(1, pieces):
            v += up[width](product, (piece * rows + row) * d + column)
        v += up[width](bias, column)
        comptime if first:
            v = gelu(v)
        put[width](y, row * stride + column, v)

    over_rows(body, rows, d)


def few_rows_cpu[
    dtype: DType, //, first: Bool
](
    y: Ptr[dtype],
    x: Ptr[dtype],
    w: Ptr[dtype],
    bias: Ptr[dtype],
    sums: Ptr[F32],
    rows: Int,
    inputs: Int,
    outputs: Int,
):
    """A layer for up to FEW_ROWS rows."""
    comptime for m in range(1, FEW_ROWS + 1):
        if rows == m:
            few_rows[m](sums, x, inputs, w, outputs)
    finish_cpu[first](y, sums, pieces_of(inputs), bias, rows, outputs, outputs)


def bias_gelu_kernel[
    dtype: DType, width: Int
](y: Ptr[dtype], x: Ptr[dtype], bias: Ptr[dtype], rows: Int64, columns: Int64):
    """One thread for `width` columns of a row; `columns` is a multiple of it."""
    comptime alignment = width * align_of[dtype]()
    var d = Int(columns)
    var place = GpuPlace(width)
    if place.column < d:
        for row in range(place.row, Int(rows), place.stride):
            bias_gelu_at[width, alignment](y, x, bias, row * d + place.column, place.column)


def bias_gelu_gpu[
    dtype: DType, //
](y: Ptr[dtype], x: Ptr[dtype], bias: Ptr[dtype], rows: Int, d: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch_width[width: Int]() raises {var, imm ctx}:
        var grid = GpuRows(rows, d // width)
        ctx.enqueue_function[bias_gelu_kernel[dtype, width]](
            y,
            x,
            bias,
            Int64(rows),
            Int64(d),
            grid_dim=(grid.blocks_x, grid.blocks_y),
            block_dim=(grid.threads_x, grid.threads_y),
        )

    comptime WIDTH = gpu_width[dtype]()
    if d % WIDTH == 0 and aligned(y) and aligned(x) and aligned(bias):
        launch_width[WIDTH]()
    else:
        launch_width[1]()


# ---- binding ----


struct Widen(Pass):
    """Widens rows of a matrix, tensor 0, to float32, tensor 1. The scalars are rows, columns, and the stride
    of rows.
    """

    comptime NAME: StaticString = "widen"

    @staticmethod
    def run[dtype: DType](call: Call):
        widen_cpu(
            call.view(1).pointer[F32](),
            call.view(0).pointer[dtype](),
            call.integer(0),
            call.integer(1),
            call.integer(2),
        )


struct Finish[first: Bool](Pass):
    """Finishes a layer after its product: tensors 0 to 2 are result, product and bias; scalars as for
    `Widen`.
    """

    comptime NAME: StaticString = "finish first" if Self.first else "finish second"

    @staticmethod
    def run[dtype: DType](call: Call):
        finish_cpu[Self.first](
            call.view(0).pointer[dtype](),
            call.view(1).pointer[F32](),
            1,
            call.view(2).pointer[dtype](),
            call.integer(0),
            call.integer(1),
            call.integer(2),
        )


struct FewRows[first: Bool](Pass):
    """A layer for few rows: tensors 0 to 4 are result, x, weight, bias and float32 scratch; scalars are rows, and the
    sizes of the weight."""

    comptime NAME: StaticString = "few rows first" if Self.first else "few rows second"

    @staticmethod
    def run[dtype: DType](call: Call):
        few_rows_cpu[Self.first](
            call.view(0).pointer[dtype](),
            call.view(1).pointer[dtype](),
            call.view(2).pointer[dtype](),
            call.view(3).pointer[dtype](),
            call.view(4).pointer[F32](),
            call.integer(0),
            call.integer(1),
            call.integer(2),
        )


struct Op(TorchOp):
    comptime NAME: StaticString = "gpt2_mlp"
    comptime INPUTS: List[StaticString] = ["x", "w1", "b1", "w2", "b2"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime DTYPES = FLOATS
    comptime PASSES: PassList = Passes[Widen, Finish[True], Finish[False], FewRows[True], FewRows[False]]

    @staticmethod
    def check(call: Call) raises Message:
        var x = call.input(0)
        var w1 = call.input(1)
        var w2 = call.input(3)
        for i in range(1, 5):
            call.require_like(i, 0)
        call.require_dimension(0)
        call.require_rank(1, 2, "in, out")
        call.require_rank(3, 2, "in, out")
        if w1.size(0) != x.size(x.rank - 1):
            var message = call.refuse_shape(1)
            message.write("[", x.size(x.rank - 1), ", inner], the last dimension of x")
            raise message^
        if w2.size(0) != w1.size(1):
            var message = call.refuse_shape(3)
            message.write("[", w1.size(1), ", out], the columns of w1")
            raise message^
        call.require_sizes(2, w1.sizes_from(1), 1, "the columns of w1")
        call.require_sizes(4, w2.sizes_from(1), 1, "the columns of w2")

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        var sizes = Shape(call.input(0), call.input(0).rank)
        sizes.put(sizes.rank - 1, call.input(3).size(1))
        return sizes^

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "x with the columns of w2"

    @staticmethod
    def drive[engine: Int](call: Call) raises Message:
        var x = call.input(0)
        var w1 = call.input(1)
        var w2 = call.input(3)
        var out = call.output(0)
        var rows = out.numel // w2.size(1)
        var sizes = Shape(x, 1)
        sizes.put(0, rows)
        sizes.rank = 2
        sizes.put(1, w1.size(1))
        var scratch = empty(sizes.address(), 2, x.dtype)
        if not scratch:
            var message = call.refuse_call()
            message.write("no memory for ", rows, " x ", w1.size(1), " values between the layers")
            raise message^
        var hidden = View(scratch)
        # On the engine's threads, a pass would wait for cores on which PyTorch's workers still spin after a product:
        # GPT-2 medium decoded at 0.63 of the speed without the op, with PyTorch's products at 0.84.
        comptime if engine == WITHOUT_ENGINE:
            # The usual case of one row skips the check for PyTorch's products.
            if rows <= FEW_ROWS_OF_BFLOAT16 or (
                rows <= FEW_ROWS and not (x.dtype == BFLOAT16 and has_product(BFLOAT16))
            ):
                try:
                    Self.run_few_rows[engine, True](call, x, w1, call.input(2), hidden)
                    Self.run_few_rows[engine, False](call, hidden, w2, call.input(4), out)
                except error:
                    release(scratch)
                    raise error^
                release(scratch)
                return
        if not has_product(x.dtype):
            try:
                Self.layer_in_float[engine, True](call, x, rows, w1, call.input(2), hidden)
                Self.layer_in_float[engine, False](call, hidden, rows, w2, call.input(4), out)
            except error:
                release(scratch)
                raise error^
            release(scratch)
            return
        var between = Matrix(hidden.data, rows, w1.size(1))
        var success = matmul(
            x.dtype, Matrix(x.data, rows, w1.size(0)), Matrix(w1.data, w1.size(0), w1.size(1)), between
        )
        if success and hidden.numel:
            var inner = Call(call.op, 2, False, call.name_of)
            inner.put(0, hidden)
            inner.put(1, call.input(2))
            inner.put(2, hidden)
            try:
                launch[Self, engine](inner)
            except error:
                release(scratch)
                raise error^
        if success:
            success = matmul(
                x.dtype,
                between,
                Matrix(w2.data, w2.size(0), w2.size(1)),
                Matrix(out.data, rows, w2.size(1)),
                call.input(4).data,
            )
        release(scratch)
        if not success:
            var message = call.refuse_call()
            message.write("PyTorch's matrix product failed")
            raise message^

    @staticmethod
    def run_few_rows[
        engine: Int, first: Bool
    ](call: Call, x: View, w: View, bias: View, y: View) raises Message:
        """Runs one of the layers for few rows."""
        if y.numel == 0:
            return
        var count = pieces_of(w.size(0)) * y.numel
        var sums = new_floats(count)
        if not sums:
            var message = call.refuse_call()
            message.write("no memory for ", count, " sums")
            raise message^
        var part = Call(call.op, 5, False, call.name_of)
        part.put(0, y)
        part.put(1, x)
        part.put(2, w)
        part.put(3, bias)
        part.put(4, Self.floats(y, sums))
        Self.put_sizes(part, y.numel // w.size(1), w.size(0), w.size(1))
        try:
            launch_pass[Self, engine, FewRows[first]](part)
        except error:
            free_floats(sums)
            raise error^
        free_floats(sums)

    @staticmethod
    def layer_in_float[
        engine: Int, first: Bool
    ](call: Call, x: View, rows: Int, w: View, bias: View, y: View) raises Message:
        """Runs one of the layers in float32, with operands in the dtype of x."""
        var inputs = w.size(0)
        var outputs = w.size(1)
        var block = min(outputs, max(1, WIDE_FLOATS // max(1, inputs)))
        var wide_x = new_floats(rows * inputs + inputs * block + rows * block)
        if not wide_x:
            var message = call.refuse_call()
            message.write("no memory for ", rows, " x ", inputs, " and ", inputs, " x ", block)
            message.write(" values in float32")
            raise message^
        var wide_w = wide_x + 4 * rows * inputs
        var product = wide_w + 4 * inputs * block
        try:
            Self.widen[engine](call, x, wide_x, rows, inputs, inputs)
            for column in range(0, outputs, block):
                var columns = min(block, outputs - column)
                Self.widen[engine](call, w.beginning_at(column), wide_w, inputs, columns, outputs)
                if not matmul(
                    FLOAT32,
                    Matrix(wide_x, rows, inputs),
                    Matrix(wide_w, inputs, columns),
                    Matrix(product, rows, columns),
                ):
                    var message = call.refuse_call()
                    message.write("PyTorch's matrix product failed")
                    raise message^
                var part = Call(call.op, 3, False, call.name_of)
                part.put(0, y.beginning_at(column))
                part.put(1, Self.floats(y, product))
                part.put(2, bias.beginning_at(column))
                Self.put_sizes(part, rows, columns, outputs)
                launch_pass[Self, engine, Finish[first]](part)
        except error:
            free_floats(wide_x)
            raise error^
        free_floats(wide_x)

    @staticmethod
    def widen[
        engine: Int
    ](call: Call, x: View, wide: Int, rows: Int, columns: Int, stride: Int) raises Message:
        if rows * columns == 0:
            return
        var part = Call(call.op, 2, False, call.name_of)
        part.put(0, x)
        part.put(1, Self.floats(x, wide))
        Self.put_sizes(part, rows, columns, stride)
        launch_pass[Self, engine, Widen](part)

    @staticmethod
    def floats(like: View, data: Int) -> View:
        """A view of float32 values, whose sizes are passed separately."""
        var view = like
        view.dtype = FLOAT32
        view.data = data
        return view

    @staticmethod
    def put_sizes(mut part: Call, rows: Int, columns: Int, stride: Int):
        part.scalars[0] = UInt64(rows)
        part.scalars[1] = UInt64(columns)
        part.scalars[2] = UInt64(stride)

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        """Adds the bias and applies GELU between the two products."""
        var y = call.output(0).pointer[dtype]()
        var x = call.input(0).pointer[dtype]()
        var bias = call.input(1).pointer[dtype]()
        var rows = call.input(0).size(0)
        var d = call.input(0).size(1)
        comptime if is_gpu[target]():
            bias_gelu_gpu(y, x, bias, rows, d, call.device())
        else:
            bias_gelu_cpu(y, x, bias, rows, d)
