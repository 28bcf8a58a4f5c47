"""Allocates the outputs of a call from PyTorch's dispatcher, or checks those that the caller passes."""

from .torch_abi import View, empty, raise_version
from .torch_arguments import OwnedHandles
from .torch_call import Call
from .torch_message import Message
from .torch_shape import Shape


def allocate_output(
    mut call: Call, mut handles: OwnedHandles, tensor: Int, mut shape: Shape, dtype: Int32
) raises Message:
    var handle = empty(shape.address(), shape.rank, dtype)
    if not handle:
        var message = call.refuse(tensor)
        message.write("of shape ")
        message.write_sizes(shape.address(), shape.rank)
        message.write(" could not be allocated")
        raise message^
    handles.hold(handle)
    call.put(tensor, View(handle))


def check_output(
    call: Call, tensor: Int, mut shape: Shape, dtype: Int32, meaning: StaticString
) raises Message:
    """Raises if an output that the caller passes differs in metadata from what the op would return."""
    if dtype == call.input(0).dtype:
        call.require_like(tensor, 0)
    else:
        call.require_device(tensor, 0)
        call.require_dtype(tensor, dtype)
    call.require_sizes(tensor, shape.address(), shape.rank, meaning)


def check_overlaps(call: Call, tensors: Int, written: Int, in_place: Bool) raises Message:
    """Raises if a kernel would read memory that it has already written. Inputs that are not contiguous are
    copied first and cannot overlap. `written` has the bits of the tensors that the kernel writes.
    """
    for i in range(tensors):
        if not written >> i & 1:
            continue
        var target = call.view(i)
        for j in range(tensors):
            var other = call.view(j)
            if j == i or target.numel == 0 or other.numel == 0 or not other.contiguous:
                continue
            if target.data >= other.data + other.bytes():
                continue
            if other.data >= target.data + target.bytes():
                continue
            if in_place and j < call.inputs and target.data == other.data and target.numel == other.numel:
                continue
            var message = call.refuse(i)
            message.write("overlaps ", call.name_of(j), " in memory, expected memory of its own")
            raise message^


def check_writes(call: Call, tensors: Int, written: Int, in_place: Bool) raises Message:
    """Raises if a kernel may not write into these tensors."""
    for i in range(tensors):
        if written >> i & 1 and not call.view(i).contiguous:
            var message = call.refuse(i)
            message.write("is not contiguous, expected a contiguous tensor")
            raise message^
    check_overlaps(call, tensors, written, in_place)


def raise_versions(call: Call, tensors: Int, written: Int) raises Message:
    """Increments the versions of the tensors for autograd before they are written."""
    for i in range(tensors):
        if written >> i & 1 and not raise_version(call.view(i).handle):
            var message = call.refuse(i)
            message.write(
                "cannot be written in place; does it require a gradient, or come from inference mode?"
            )
            raise message^
