"""Options of cross_entropy and its gradient, and checks of the class indices."""

from std.memory import bitcast

from .torch_abi import INT64
from .torch_call import Call
from .torch_message import Message
from .vectors import Ptr

comptime F64 = DType.float64  # of lse: the gradient would lose digits by a float32

# As in ATen's Reduction.
comptime NO_REDUCTION = 0
comptime MEAN = 1
comptime SUM = 2


@fieldwise_init
struct Options(ImplicitlyCopyable, Movable):
    """The scalars of both schemas, in their order."""

    var smoothing: Float32
    var ignore_index: Int
    var reduction: Int

    @always_inline
    def __init__(out self, call: Call):
        self.smoothing = call.real(0)
        self.ignore_index = call.integer(1)
        self.reduction = call.integer(2)


def counted(target: Ptr[DType.int64], rows: Int, ignore_index: Int) -> Int:
    """The number of targets that are not ignored."""
    var count = 0
    for row in range(rows):
        if Int(target.unsafe_load(row)) != ignore_index:
            count += 1
    return count


def check_arguments(call: Call, logits: Int, target: Int) raises Message:
    """Raises if the targets do not match the logits or an option is invalid."""
    var x = call.input(logits)
    call.require_rank(logits, 2, "rows, classes")
    call.require_device(target, 0)
    call.require_dtype(target, INT64)
    call.require_sizes(target, x.sizes_from(0), 1, "the rows of logits")
    var smoothing = bitcast[DType.float64](call.scalars[0])
    if not (smoothing >= 0 and smoothing <= 1):
        var message = call.refuse_call()
        message.write("label_smoothing is ")
        if smoothing == smoothing:
            message.write(Float32(smoothing))
        else:
            message.write("nan")
        message.write(", expected a number from 0 to 1")
        raise message^
    if call.integer(2) < NO_REDUCTION or call.integer(2) > SUM:
        var message = call.refuse_call()
        message.write("reduction is ", call.integer(2), ", expected 0 (none), 1 (mean) or 2 (sum)")
        raise message^


def check_values(call: Call, logits: Int, target: Int) raises Message:
    """Raises if a target is neither a class nor ignored. Checks all targets before any is used as an
    index."""
    var classes = call.input(logits).size(1)
    var ignore_index = call.integer(1)
    var view = call.input(target)
    if not view.has_values():
        return
    var step = Int(view.strides().unsafe_load(0))
    var values = view.pointer[DType.int64]()
    for row in range(view.numel):
        var value = Int(values.unsafe_load(row * step))
        if (value < 0 or value >= classes) and value != ignore_index:
            var message = call.refuse(target)
            message.write("has the value ", value, " in row ", row, ", expected 0 to ", classes - 1)
            message.write(" or ignore_index, ", ignore_index)
            raise message^
