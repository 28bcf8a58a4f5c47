"""Takes the arguments of a call off the dispatcher's stack, checks them for autograd and makes them
contiguous."""

from std.memory import Pointer

from .torch_abi import (
    Accessors,
    Handle,
    Stack,
    View,
    code_of,
    copy,
    dtype_name,
    empty,
    is_defined,
    release,
    take_optional,
)
from .torch_call import MAX_TENSORS, Call
from .torch_message import Message
from .torch_op import TorchOp


struct OwnedHandles:
    """Handles to release when the call ends, even with an error; 0 means no handle."""

    var handles: Array[Handle, 2 * MAX_TENSORS]
    var count: Int

    @always_inline
    def __init__(out self):
        self.handles = Array[Handle, 2 * MAX_TENSORS](uninitialized=True)
        self.count = 0

    @always_inline
    def hold(mut self, tensor: Handle):
        Pointer(to=self.handles).unsafe_bitcast[Handle]().unsafe_store(self.count, tensor)
        self.count += 1

    @always_inline
    def handle(self, i: Int) -> Handle:
        return Pointer(to=self.handles).unsafe_bitcast[Handle]().unsafe_load(i)

    def release(self):
        for i in range(self.count):
            if self.handle(i):
                release(self.handle(i))


def take_arguments(
    stack: Stack, mut call: Call, mut handles: OwnedHandles, tensors: Int, scalars: Int, optional: Int
) raises Message:
    """Takes the tensors of a call, and the scalars after its inputs, off the stack."""
    for i in range(tensors):
        var value = stack.unsafe_load(i if i < call.inputs else i + scalars)
        handles.hold(take_optional(value) if optional >> i & 1 else value)
    for i in range(scalars):
        call.scalars[i] = stack.unsafe_load(call.inputs + i)
    for i in range(tensors):
        var handle = handles.handle(i)
        if optional >> i & 1 and not (handle and is_defined(handle)):
            call.put(i, View())
            continue
        if not is_defined(handle):
            raise call.refuse_none(i)
        call.put(i, View(handle))


def refuse_derivatives(call: Call, tensors: Int, overload: StaticString) raises Message:
    """Raises if a derivative is needed: autograd ignores ops without a formula, and runs ops with one without
    recording gradients."""
    var accessors = Accessors()
    if not accessors.known():
        return
    for i in range(tensors):
        var tensor = call.view(i).handle
        if not tensor:
            continue
        if accessors.requires_grad(tensor):
            var message = call.refuse(i)
            message.write("requires grad, but ", overload, " has no gradient; ")
            message.write("detach it or call ", call.op, " under torch.no_grad()")
            raise message^
        if accessors.has_tangent(tensor):
            var message = call.refuse(i)
            message.write("has a tangent, but ", overload, " has no forward-mode derivative; detach it")
            raise message^


def check_dtype[Op: TorchOp](call: Call) raises Message:
    """Raises if the op's kernel is not compiled for the dtype of the first input."""
    var dtype = call.input(0).dtype
    comptime LAST = len(Op.DTYPES) - 1
    comptime for i in range(LAST + 1):
        comptime d = Op.DTYPES[i]
        if dtype == code_of[d]():
            return
    var message = call.refuse_dtype(0)
    comptime for i in range(LAST + 1):
        comptime d = Op.DTYPES[i]
        message.write("" if i == 0 else " or " if i == LAST else ", ", dtype_name(code_of[d]()))
    raise message^


def make_contiguous(mut call: Call, mut handles: OwnedHandles) raises Message:
    for i in range(call.inputs):
        var input = call.view(i)
        if input.contiguous:
            continue
        var dense = empty(input.sizes_from(0), input.rank, input.dtype)
        if dense:
            handles.hold(dense)
        if not dense or not copy(dense, input.handle):
            var message = call.refuse(i)
            message.write("could not be made contiguous")
            raise message^
        call.put(i, View(dense))
