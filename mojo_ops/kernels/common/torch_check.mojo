"""The checks of a call that its kernel relies on."""

from .torch_arguments import check_dtype
from .torch_call import Call
from .torch_message import Message
from .torch_op import TorchOp, positions
from .torch_outputs import check_output, check_writes
from .torch_shape import MAX_DIMENSIONS


def check_ranks(call: Call, tensors: Int) raises Message:
    """Raises if a tensor has more dimensions than a `Shape` can hold."""
    for i in range(tensors):
        var rank = call.view(i).rank
        if rank > MAX_DIMENSIONS:
            var message = call.refuse(i)
            message.write("has ", rank, " dimensions, expected at most ", MAX_DIMENSIONS)
            raise message^


def written[Op: TorchOp, ready: Bool]() -> Int:
    """A bit for each tensor that a call writes: `ready` outputs, and inputs of `Op.WRITTEN`. For comptime."""
    comptime ARGUMENTS = positions(Op.INPUTS, Op.WRITTEN)
    comptime OUTPUTS = ((1 << len(Op.OUTPUTS)) - 1) << len(Op.INPUTS)
    return ARGUMENTS | OUTPUTS if ready else ARGUMENTS


def check_call[Op: TorchOp, ready: Bool](call: Call) raises Message:
    """Raises if the arguments, including existing (`ready`) outputs, are not valid for the op."""
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS) if ready else 0
    comptime WRITTEN = written[Op, ready]()
    check_ranks(call, INPUTS + OUTPUTS)
    check_dtype[Op](call)
    Op.check(call)
    comptime for i in range(OUTPUTS):
        var shape = Op.shape(call, i)
        check_output(call, INPUTS + i, shape, Op.output_dtype(call, i), Op.meaning(i))
    comptime if WRITTEN != 0:
        check_writes(call, INPUTS + OUTPUTS, WRITTEN, Op.IN_PLACE)
