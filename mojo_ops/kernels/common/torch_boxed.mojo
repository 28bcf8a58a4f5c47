"""An op behind PyTorch's dispatcher on the CPU, written in Mojo alone.

`boxed` is what the dispatcher calls. It takes the arguments off the stack, checks them, allocates what the op returns,
and runs the kernel, itself (route mojo_aot) or in the MAX engine (route mojo). It never raises: PyTorch gets a
c10::Error that names the argument, what it is, and what was expected.
"""

from std.bit import pop_count
from std.memory import Pointer

from .torch_abi import Stack, throw
from .torch_arguments import Held, check_dtype, make_contiguous, refuse_derivatives, take_arguments
from .torch_call import Call
from .torch_message import ROOM, Message
from .torch_op import WITHOUT_ENGINE, TorchOp, name_of, positions
from .torch_outputs import allocate_output, check_output, prepare_writes


def call_op[
    Op: TorchOp, ready: Bool, engine: Int
](stack: Stack, mut held: Held, mut outputs: Held) raises Message:
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS)
    comptime TENSORS = INPUTS + (OUTPUTS if ready else 0)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    comptime INPUTS_WRITTEN = positions(Op.INPUTS, Op.WRITTEN)
    comptime WRITTEN = INPUTS_WRITTEN | ((1 << TENSORS) - (1 << INPUTS))
    comptime assert pop_count(OPTIONAL) == len(Op.OPTIONAL), "OPTIONAL names no input"
    comptime assert pop_count(INPUTS_WRITTEN) == len(Op.WRITTEN), "WRITTEN names no input"
    var call = Call(Op.NAME, INPUTS, not ready, name_of[Op])
    take_arguments(stack, call, held, TENSORS, Op.SCALARS, OPTIONAL)
    comptime OVERLOAD: StaticString = "writing into an argument" if WRITTEN else "this overload"
    refuse_derivatives(call, TENSORS, OVERLOAD)
    check_dtype[Op](call)
    Op.check(call)
    var elements = 0 if OUTPUTS else call.input(0).numel
    comptime for i in range(OUTPUTS):
        var shape = Op.shape(call, i)
        comptime if ready:
            check_output(call, INPUTS + i, shape, Op.output_dtype(call, i), Op.meaning(i))
        else:
            allocate_output(call, outputs, INPUTS + i, shape, Op.output_dtype(call, i))
        elements += call.output(i).numel
    comptime if WRITTEN != 0:
        prepare_writes(call, TENSORS, WRITTEN, Op.IN_PLACE)
    make_contiguous(call, held)
    comptime if OUTPUTS == 0:
        var written = 0
        comptime for i in range(INPUTS):
            comptime if WRITTEN >> i & 1:
                var output = call.input(i)
                call.put(INPUTS + written, output)
                written += 1
    if elements:
        Op.drive[engine](call)
    comptime if not ready:
        comptime for i in range(OUTPUTS):
            stack.unsafe_store(i, call.output(i).handle)


def boxed[Op: TorchOp, ready: Bool, engine: Int = WITHOUT_ENGINE](stack: Stack):
    """The boxed kernel of an op: the functional form, or that with `ready` outputs.

    `engine` is the op's number among those that the MAX engine runs.
    """
    comptime if ready and len(Op.OUTPUTS) == 0:
        return  # an op that returns nothing has no such form, and nobody registers this one
    var held = Held()
    var outputs = Held()
    var text = Array[UInt8, ROOM](uninitialized=True)
    try:
        call_op[Op, ready, engine](stack, held, outputs)
        held.release()
        return
    except error:
        held.release()
        outputs.release()
        text = error.text.copy()
    throw(Pointer(to=text).unsafe_bitcast[UInt8]())
