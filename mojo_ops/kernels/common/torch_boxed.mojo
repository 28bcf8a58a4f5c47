"""Registers ops with PyTorch's dispatcher on the CPU, entirely in Mojo.

The dispatcher calls `boxed`. It takes the arguments off the stack, checks them, allocates the results, and
runs the kernel, directly (route mojo_aot) or in the MAX engine (route mojo). It never raises a Mojo error:
PyTorch gets a c10::Error that names the argument, its value, and what was expected.
"""

from std.bit import pop_count
from std.memory import Pointer

from .torch_abi import Stack, throw
from .torch_arguments import OwnedHandles, make_contiguous, refuse_derivatives, take_arguments
from .torch_call import Call
from .torch_check import check_call, written
from .torch_message import ROOM, Message
from .torch_op import WITHOUT_ENGINE, TorchOp, name_of, positions
from .torch_outputs import allocate_output, raise_versions


def call_op[
    Op: TorchOp, ready: Bool, engine: Int
](stack: Stack, mut handles: OwnedHandles, mut outputs: OwnedHandles) raises Message:
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS)
    comptime TENSORS = INPUTS + (OUTPUTS if ready else 0)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    comptime WRITTEN = written[Op, ready]()
    comptime assert pop_count(OPTIONAL) == len(Op.OPTIONAL), "OPTIONAL names no input"
    comptime assert pop_count(written[Op, False]()) == len(Op.WRITTEN), "WRITTEN names no input"
    var call = Call(Op.NAME, INPUTS, not ready, name_of[Op])
    take_arguments(stack, call, handles, TENSORS, Op.SCALARS, OPTIONAL)
    comptime OVERLOAD: StaticString = "writing into an argument" if WRITTEN else "this overload"
    refuse_derivatives(call, TENSORS, OVERLOAD)
    check_call[Op, ready](call)
    var elements = 0 if OUTPUTS else call.input(0).numel
    comptime for i in range(OUTPUTS):
        comptime if not ready:
            var shape = Op.shape(call, i)
            allocate_output(call, outputs, INPUTS + i, shape, Op.output_dtype(call, i))
        elements += call.output(i).numel
    comptime if WRITTEN != 0:
        raise_versions(call, TENSORS, WRITTEN)
    make_contiguous(call, handles)
    comptime if OUTPUTS == 0:
        var outputs_in_place = 0
        comptime for i in range(INPUTS):
            comptime if WRITTEN >> i & 1:
                var output = call.input(i)
                call.put(INPUTS + outputs_in_place, output)
                outputs_in_place += 1
    if elements:
        Op.drive[engine](call)
    comptime if not ready:
        comptime for i in range(OUTPUTS):
            stack.unsafe_store(i, call.output(i).handle)


def boxed[Op: TorchOp, ready: Bool, engine: Int = WITHOUT_ENGINE](stack: Stack):
    """The boxed kernel of an op, for the functional form or for the form with existing (`ready`) outputs.
    `engine` is the op's index among those that the MAX engine runs.
    """
    comptime if ready and len(Op.OUTPUTS) == 0:
        return  # an op that returns nothing has no such form, so this one is never registered
    var handles = OwnedHandles()
    var outputs = OwnedHandles()
    var text = Array[UInt8, ROOM](uninitialized=True)
    try:
        call_op[Op, ready, engine](stack, handles, outputs)
        handles.release()
        return
    except error:
        handles.release()
        outputs.release()
        text = error.text.copy()
    throw(Pointer(to=text).unsafe_bitcast[UInt8]())
