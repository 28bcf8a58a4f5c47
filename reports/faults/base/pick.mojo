"""Op pick: out[i, :] = scale * x[rows[i], :] + sum(x[rows[i], :]), correct as it stands. Each fault is a small edit of it."""

from std.collections import Span
from std.memory import Pointer
from std.sys import simd_width_of

from kernels.common.torch_abi import Sizes, Stack, pool_parallel_for
from kernels.common.torch_boxed import boxed
from kernels.common.torch_infer import infer
from kernels.common.torch_op import WITHOUT_ENGINE, Call, Message, Shape, TorchOp

comptime Floats = Pointer[Float32, MutAnyOrigin]
comptime Rows = Pointer[Int64, MutAnyOrigin]
comptime INT64 = Int32(4)
comptime LANES = simd_width_of[DType.float32]()


def scale_row(scaled: Span[mut=True, Float32, _], row: Span[Float32, _], scale: Float32) -> Float32:
    """Sets scaled = scale * row; returns the sum of the row."""
    var sum = Float32(0)
    for c in range(len(row)):
        scaled[c] = scale * row[c]
        sum += row[c]
    return sum


def shift_row(y: Span[mut=True, Float32, _], scaled: Span[Float32, _], sum: Float32):
    """Sets y = scaled + sum, a vector at a time, then the tail."""
    var c = 0
    while c + LANES <= len(y):
        y.unsafe_ptr().unsafe_store(c, scaled.unsafe_ptr().unsafe_load[width=LANES](c) + sum)
        c += LANES
    while c < len(y):
        y[c] = scaled[c] + sum
        c += 1


def pick_rows(x: Floats, rows: Rows, out_: Floats, n: Int, cols: Int, scale: Float32):
    var tasks = max(1, n * cols // 4096)
    var grain = n // tasks + 1

    def task(first: Int, last: Int) {imm}:
        var scaled = List[Float32](length=cols, fill=0)
        for i in range(first, last):
            var offset = Int(rows.unsafe_load(i)) * cols
            var row = Span(unsafe_ptr=x.unsafe_offset(offset), length=cols)
            var y = Span(unsafe_ptr=out_.unsafe_offset(i * cols), length=cols)
            var sum = scale_row(scaled, row, scale)
            shift_row(y, scaled, sum)

    pool_parallel_for(task, n, grain)


struct Pick(TorchOp):
    comptime NAME: StaticString = "pick"
    comptime INPUTS: List[StaticString] = ["x", "rows"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 1
    comptime IN_PLACE = False
    comptime DTYPES: List[DType] = [DType.float32]

    @staticmethod
    def check(call: Call) raises Message:
        call.require_rank(0, 2, "rows and columns")
        call.require_dtype(1, INT64)
        call.require_rank(1, 1, "numbers of rows")
        if not call.input(1).contiguous:
            var message = call.refuse(1)
            message.write("is not contiguous")
            raise message^
        var row = call.input(1).pointer[DType.int64]()
        for i in range(call.input(1).numel):
            if row.unsafe_load(i) < 0 or Int(row.unsafe_load(i)) >= call.input(0).size(0):
                var message = call.refuse(1)
                message.write("has ", row.unsafe_load(i), ", not a row of x")
                raise message^

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        var shape = Shape(call.input(0), 2)
        shape.put(0, call.input(1).size(0))
        return shape^

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "a row for each number in rows"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var x = call.input(0).pointer[DType.float32]()
        var rows = call.input(1).pointer[DType.int64]()
        var out_ = call.output(0).pointer[DType.float32]()
        pick_rows(x, rows, out_, call.input(1).size(0), call.input(0).size(1), call.real(0))


@export
def faults_pick(stack: Stack, inputs: UInt64, outputs: UInt64) abi("C"):
    boxed[Pick, False, WITHOUT_ENGINE](stack)


@export
def faults_pick_out(stack: Stack, inputs: UInt64, outputs: UInt64) abi("C"):
    boxed[Pick, True, WITHOUT_ENGINE](stack)


@export
def faults_pick_infer(description: Sizes, reply: Sizes) abi("C") -> Int:
    return infer[Pick](description, reply)
