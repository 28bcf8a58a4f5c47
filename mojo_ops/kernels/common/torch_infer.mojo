"""Checks the arguments of calls that do not reach a CPU kernel, and computes the shapes of their outputs.

Fake kernels, kernels for a GPU and the routes over MAX's own PyTorch bridge are written in Python. They
describe their tensors to `infer`, so that the rules of an op are only in its Mojo file.
"""

from std.sys import size_of

from .torch_abi import Sizes, View
from .torch_call import Call
from .torch_check import check_call
from .torch_message import ROOM, Message
from .torch_op import TorchOp, name_of, positions

comptime ACCEPTED = 0
comptime WRONG_VALUE = 1  # a ValueError in Python
comptime WRONG_TYPE = 2  # a TypeError in Python


struct Request(Movable):
    """Reads a description, in the order in which mojo_ops/infer.py writes it."""

    var address: Int

    def __init__(out self, description: Sizes):
        self.address = Int(description)

    def take(mut self) -> Int:
        var number = Sizes(unsafe_from_address=self.address).unsafe_load(0)
        self.address += size_of[Int64]()
        return Int(number)

    def take_view(mut self) -> View:
        """Reads rank (-1 for None), dtype, device type, device index, address, sizes and strides of a tensor.
        """
        var view = View()
        var rank = self.take()
        if rank < 0:
            return view
        view.defined = True
        view.rank = rank
        view.dtype = Int32(self.take())
        view.device = Int32(self.take())
        view.index = Int32(self.take())
        view.data = self.take()
        view.sizes = self.address
        view.numel = 1
        for i in range(rank):
            view.numel *= view.size(i)
        view.contiguous = is_contiguous(view)
        self.address += 2 * rank * size_of[Int64]()
        return view


def is_contiguous(view: View) -> Bool:
    """PyTorch's rule: the stride of a dimension of size 1 does not matter, and no stride of an empty tensor
    does.
    """
    var expected = 1
    for i in reversed(range(view.rank)):
        if view.size(i) != 1 and Int(view.strides().unsafe_load(i)) != expected:
            return view.numel == 0
        expected *= view.size(i)
    return True


def take_tensor(mut request: Request, mut call: Call, i: Int, optional: Bool) raises Message:
    call.put(i, request.take_view())
    if not call.view(i).defined and not optional:
        raise call.refuse_none(i)


def check_request[Op: TorchOp](mut request: Request, mut call: Call, ready: Bool) raises Message:
    """Reads the arguments of a call and, if requested, checks them."""
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    var checked = request.take() != 0
    for i in range(INPUTS + (OUTPUTS if ready else 0)):
        take_tensor(request, call, i, OPTIONAL >> i & 1 != 0)
    for i in range(Op.SCALARS):
        call.scalars[i] = UInt64(request.take())
    if not checked:
        return
    if ready:
        check_call[Op, True](call)
    else:
        check_call[Op, False](call)


def infer[Op: TorchOp](description: Sizes, reply: Sizes) -> Int:
    """Checks a call and describes the outputs that it would allocate.

    Args:
        description: Whether outputs are ready, whether to check; then the inputs, ready outputs and scalars.
        reply: Receives dtype, rank and sizes of each output that does not exist yet. If the call is rejected, it
            receives the reason as a C string.

    Returns:
        ACCEPTED, WRONG_VALUE or WRONG_TYPE.
    """
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS)
    var request = Request(description)
    var ready = request.take() != 0
    var call = Call(Op.NAME, INPUTS, not ready, name_of[Op])
    try:
        check_request[Op](request, call, ready)
    except error:
        var text = reply.unsafe_bitcast[UInt8]()
        for i in range(ROOM):
            text.unsafe_store(i, error.text[i])
        return WRONG_TYPE if error.of_type else WRONG_VALUE
    if ready:
        return ACCEPTED
    var position = reply
    for i in range(OUTPUTS):
        var shape = Op.shape(call, i)
        position.unsafe_store(0, Int64(Op.output_dtype(call, i)))
        position.unsafe_store(1, Int64(shape.rank))
        for d in range(shape.rank):
            position.unsafe_store(2 + d, shape.address().unsafe_load(d))
        position = position.unsafe_offset(2 + shape.rank)
    return ACCEPTED
