"""An op behind PyTorch's dispatcher, written in Mojo alone.

`boxed` is what the dispatcher calls on the CPU. It takes the arguments off the
stack, checks them, allocates what the op returns, and runs the kernel, itself
(route mojo_aot) or in the MAX engine (route mojo). It never raises: PyTorch
gets a c10::Error that names argument, found and expected.
"""

from std.bit import pop_count
from std.memory import Pointer, bitcast

from .engine import run_in_engine
from .torch_abi import (
    CUDA,
    Accessors,
    Handle,
    Sizes,
    Stack,
    View,
    borrow_optional,
    call_formula,
    code_of,
    copy,
    device_name,
    dtype_name,
    empty,
    is_defined,
    raise_version,
    release,
    take_optional,
    throw,
)

comptime MAX_TENSORS = 12
comptime MAX_DIMENSIONS = 64  # PyTorch's own bound
comptime ROOM = 512  # bytes of a message
comptime WITHOUT_ENGINE = -1


struct Message(Movable, Writer):
    """Text in place, since an allocation would pull in a run-time library."""

    var text: Array[UInt8, ROOM]
    var length: Int
    var of_type: Bool  # a TypeError in Python, not a ValueError

    def __init__(out self):
        self.text = Array[UInt8, ROOM](fill=0)
        self.length = 0
        self.of_type = False

    def write_string(mut self, string: StringSpan):
        var at = Pointer(to=self.text).unsafe_bitcast[UInt8]()
        for byte in string.as_bytes():
            if self.length < ROOM - 1:
                at.unsafe_store(self.length, byte)
                self.length += 1

    def write_text(mut self, address: Int):
        """Writes a C string."""
        var given = Pointer[UInt8, MutAnyOrigin](unsafe_from_address=address)
        var at = Pointer(to=self.text).unsafe_bitcast[UInt8]()
        var i = 0
        while given.unsafe_load(i) and self.length < ROOM - 1:
            at.unsafe_store(self.length, given.unsafe_load(i))
            self.length += 1
            i += 1

    def write_device(mut self, view: View):
        """Writes “cuda:0”."""
        self.write(device_name(view.device))
        if view.device == CUDA:
            self.write(":", view.index)

    def write_sizes(mut self, sizes: Sizes, rank: Int):
        """Writes «[2, 4]»."""
        self.write("[")
        for i in range(rank):
            self.write(", " if i else "", sizes.unsafe_load(i))
        self.write("]")


struct Shape(Movable):
    """Sizes of an output."""

    var sizes: Array[Int64, MAX_DIMENSIONS]
    var rank: Int

    def __init__(out self, of: View, rank: Int):
        """The first `rank` dimensions of a tensor; it may have fewer where arguments are not known to be right.
        """
        self.sizes = Array[Int64, MAX_DIMENSIONS](uninitialized=True)
        self.rank = min(rank, of.rank)
        for i in range(self.rank):
            self.put(i, of.size(i))

    @always_inline
    def put(mut self, i: Int, size: Int):
        """Sets dimension `i`; nothing where a tensor has no dimension, for the same reason."""
        if i < 0:
            return
        Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_store(i, Int64(size))

    @always_inline
    def address(mut self) -> Sizes:
        """For as long as the caller uses it: MutAnyOrigin keeps this alive."""
        return Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()


struct Call(Movable):
    """The tensors of one call: inputs, then outputs, in the order of the schema."""

    var op: StaticString
    var tensors: Array[View, MAX_TENSORS]
    var scalars: Array[UInt64, MAX_TENSORS]
    var inputs: Int
    var fresh: Bool  # outputs were allocated for this call, not given by the caller
    var name_of: def(Int) thin -> StaticString

    @always_inline
    def __init__(
        out self, op: StaticString, inputs: Int, fresh: Bool, name_of: def(Int) thin -> StaticString
    ):
        self.op = op
        self.tensors = Array[View, MAX_TENSORS](uninitialized=True)
        self.scalars = Array[UInt64, MAX_TENSORS](uninitialized=True)
        self.inputs = inputs
        self.fresh = fresh
        self.name_of = name_of

    @always_inline
    def view(self, i: Int) -> ref[self.tensors] View:
        return Pointer(to=self.tensors).unsafe_bitcast[View]()[unsafe_offset=i]

    @always_inline
    def put(mut self, i: Int, view: View):
        Pointer(to=self.tensors).unsafe_bitcast[View]()[unsafe_offset=i] = view

    @always_inline
    def input(self, i: Int) -> ref[self.tensors] View:
        return self.view(i)

    @always_inline
    def output(self, i: Int) -> ref[self.tensors] View:
        return self.view(self.inputs + i)

    def real(self, i: Int) -> Float32:
        """Scalar `i`, of the schema's type float; scalars are counted apart from tensors."""
        return Float32(bitcast[DType.float64](self.scalars[i]))

    def integer(self, i: Int) -> Int:
        """Scalar `i`, of the schema's type int."""
        return Int(bitcast[DType.int64](self.scalars[i]))

    def boolean(self, i: Int) -> Bool:
        """Scalar `i`, of the schema's type bool."""
        return self.scalars[i] & 0xFF != 0

    def refuse_call(self) -> Message:
        """The beginning of an error about anything but a tensor: «top_k: »."""
        var message = Message()
        message.write(self.op, ": ")
        return message^

    def refuse(self, tensor: Int) -> Message:
        """The beginning of an error about a tensor: «rms_norm: weight »."""
        var message = Message()
        message.write(self.op, ": ", self.name_of(tensor), " ")
        return message^

    def refuse_none(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.of_type = True
        message.write("is None, expected a tensor")
        return message^

    def refuse_shape(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.write("has shape ")
        var view = self.view(tensor)
        message.write_sizes(view.sizes_from(0), view.rank)
        message.write(", expected ")
        return message^

    def refuse_dtype(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.of_type = True
        message.write("has dtype ", dtype_name(self.view(tensor).dtype), ", expected ")
        return message^

    # An optional tensor that is None passes all that follows.

    def require_dtype(self, tensor: Int, dtype: Int32) raises Message:
        if self.view(tensor).given and self.view(tensor).dtype != dtype:
            var message = self.refuse_dtype(tensor)
            message.write(dtype_name(dtype))
            raise message^

    def require_device(self, tensor: Int, reference: Int) raises Message:
        """Device of another tensor."""
        var view = self.view(tensor)
        var expected = self.view(reference)
        if view.given and (view.device != expected.device or view.index != expected.index):
            var message = self.refuse(tensor)
            message.write("is on ")
            message.write_device(view)
            message.write(", expected ")
            message.write_device(expected)
            message.write(", the device of ", self.name_of(reference))
            raise message^

    def require_like(self, tensor: Int, reference: Int) raises Message:
        """Device and dtype of another tensor."""
        self.require_device(tensor, reference)
        if self.view(tensor).given and self.view(tensor).dtype != self.view(reference).dtype:
            var message = self.refuse_dtype(tensor)
            message.write(dtype_name(self.view(reference).dtype), ", the dtype of ", self.name_of(reference))
            raise message^

    def require_rank(self, tensor: Int, rank: Int, meaning: StaticString) raises Message:
        if self.view(tensor).given and self.view(tensor).rank != rank:
            var message = self.refuse(tensor)
            message.write("has ", self.view(tensor).rank, " dimensions, expected ", rank, " (", meaning, ")")
            raise message^

    def require_sizes(self, tensor: Int, sizes: Sizes, rank: Int, meaning: StaticString) raises Message:
        if not self.view(tensor).given:
            return
        var same = self.view(tensor).rank == rank
        for i in range(rank):
            same = same and self.view(tensor).size(i) == Int(sizes.unsafe_load(i))
        if not same:
            var message = self.refuse_shape(tensor)
            message.write_sizes(sizes, rank)
            message.write(", ", meaning)
            raise message^


trait TorchOp:
    """What an op adds to its kernel for PyTorch's dispatcher.

    Its schema has the tensors first, then scalars of the types float, int and bool.
    """

    comptime NAME: StaticString
    comptime INPUTS: List[StaticString]
    comptime SCALARS: Int

    comptime DTYPES: List[DType]
    """Of the first input; the kernel is compiled for each."""

    comptime OUTPUTS: List[StaticString] = []
    """Empty for an op that returns nothing, whose schema ends with `-> ()`."""

    comptime OPTIONAL: List[StaticString] = []
    """Inputs of type `Tensor?`: views that are not `given` where they are None."""

    comptime WRITTEN: List[StaticString] = []
    """Inputs of type `Tensor(a!)`: contiguous, and no other argument lies in their memory."""

    comptime IN_PLACE: Bool = False
    """Whether an output may be an input: element i is read before it is written."""

    @staticmethod
    def check(call: Call) raises Message:
        """Raises unless the inputs are what the kernel can take; the first one's dtype was checked."""
        ...

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        """Sizes of an output, for arguments that passed: those of the first input if not stated."""
        return Shape(call.input(0), call.input(0).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        """Says where these sizes come from, as in «the shape of a»."""
        return "the shape of the first argument"

    @staticmethod
    def output_dtype(call: Call, output: Int) -> Int32:
        """PyTorch's code for the dtype of an output: that of the first input if not stated."""
        return call.input(0).dtype

    @staticmethod
    def drive[engine: Int](call: Call) raises Message:
        """Runs the op on the calling thread, for arguments that passed: launches the kernel on all of them.

        An op that calls PyTorch does so here, and launches its kernel on a call of its own.
        """
        launch[Self, engine](call)

    @staticmethod
    def run[dtype: DType](call: Call):
        """The kernel, on contiguous tensors. `dtype` is that of the first input.

        Outputs are not all empty; without outputs, the first input is not empty.
        """
        ...


def name_of[Op: TorchOp](tensor: Int) -> StaticString:
    comptime for i in range(len(Op.INPUTS)):
        if tensor == i:
            comptime name = Op.INPUTS[i]
            return name
    comptime INPUTS = len(Op.INPUTS)
    comptime for i in range(len(Op.OUTPUTS)):
        if tensor == INPUTS + i:
            comptime name = Op.OUTPUTS[i]
            return name
    return ""


def positions(names: List[StaticString], chosen: List[StaticString]) -> Int:
    """A bit for each of `names` that is chosen. For comptime."""
    var bits = 0
    for i in range(len(names)):
        for name in chosen:
            if name == names[i]:
                bits |= 1 << i
    return bits


struct Held:
    """Handles to release when the call ends, also by an error; 0 is none."""

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


def check_dtype[Op: TorchOp](call: Call) raises Message:
    """Raises unless the first input has a dtype that the op's kernel is compiled for."""
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


def call_kernel[Op: TorchOp](call: Call):
    var dtype = call.input(0).dtype
    comptime for i in range(len(Op.DTYPES)):
        comptime d = Op.DTYPES[i]
        if dtype == code_of[d]():
            Op.run[d](call)


def launch[Op: TorchOp, engine: Int](call: Call) raises Message:
    """Runs the kernel of an op, here or in the engine."""
    comptime if engine == WITHOUT_ENGINE:
        call_kernel[Op](call)
    else:
        run_in_engine(engine, call)


def take_arguments(
    stack: Stack, mut call: Call, mut held: Held, tensors: Int, scalars: Int, optional: Int
) raises Message:
    """Takes the tensors of a call, and the scalars after its inputs, off the stack."""
    for i in range(tensors):
        var value = stack.unsafe_load(i if i < call.inputs else i + scalars)
        held.hold(take_optional(value) if optional >> i & 1 else value)
    for i in range(scalars):
        call.scalars[i] = stack.unsafe_load(call.inputs + i)
    for i in range(tensors):
        var handle = held.handle(i)
        if optional >> i & 1 and not (handle and is_defined(handle)):
            call.put(i, View())
            continue
        if not is_defined(handle):
            raise call.refuse_none(i)
        call.put(i, View(handle))


def refuse_derivatives(call: Call, tensors: Int, overload: StaticString) raises Message:
    """Raises where a derivative is asked for: autograd leaves to us what has no formula, and what has one comes here
    without gradients recorded."""
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


def check_output(
    call: Call, tensor: Int, mut shape: Shape, dtype: Int32, meaning: StaticString
) raises Message:
    """Raises unless an output given by the caller is what the kernel would return."""
    if dtype == call.input(0).dtype:
        call.require_like(tensor, 0)
    else:
        call.require_device(tensor, 0)
        call.require_dtype(tensor, dtype)
    call.require_sizes(tensor, shape.address(), shape.rank, meaning)


def check_overlaps(call: Call, tensors: Int, written: Int, in_place: Bool) raises Message:
    """Raises where a kernel would read what it has written already.

    Inputs that are not contiguous are copied first and cannot be hit. `written`
    has the bits of the tensors that the kernel writes.
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
    """Raises unless a kernel may write into these tensors as they are."""
    for i in range(tensors):
        if written >> i & 1 and not call.view(i).contiguous:
            var message = call.refuse(i)
            message.write("is not contiguous, expected a contiguous tensor")
            raise message^
    check_overlaps(call, tensors, written, in_place)


def raise_versions(call: Call, tensors: Int, written: Int) raises Message:
    """Tells autograd of the tensors that are written, before they are."""
    for i in range(tensors):
        if written >> i & 1 and not raise_version(call.view(i).handle):
            var message = call.refuse(i)
            message.write(
                "cannot be written in place; does it require a gradient, or come from inference mode?"
            )
            raise message^


def allocate_output(
    mut call: Call, mut held: Held, tensor: Int, mut shape: Shape, dtype: Int32
) raises Message:
    var handle = empty(shape.address(), shape.rank, dtype)
    if not handle:
        var message = call.refuse(tensor)
        message.write("of shape ")
        message.write_sizes(shape.address(), shape.rank)
        message.write(" could not be allocated")
        raise message^
    held.hold(handle)
    call.put(tensor, View(handle))


def make_contiguous(mut call: Call, mut held: Held) raises Message:
    for i in range(call.inputs):
        var given = call.view(i)
        if given.contiguous:
            continue
        var dense = empty(given.sizes_from(0), given.rank, given.dtype)
        if dense:
            held.hold(dense)
        if not dense or not copy(dense, given.handle):
            var message = call.refuse(i)
            message.write("could not be made contiguous")
            raise message^
        call.put(i, View(dense))


def written[Op: TorchOp, ready: Bool]() -> Int:
    """A bit for each tensor that a call writes: `ready` outputs, and inputs of `Op.WRITTEN`. For comptime."""
    comptime ARGUMENTS = positions(Op.INPUTS, Op.WRITTEN)
    comptime OUTPUTS = ((1 << len(Op.OUTPUTS)) - 1) << len(Op.INPUTS)
    return ARGUMENTS | OUTPUTS if ready else ARGUMENTS


def check_call[Op: TorchOp, ready: Bool](call: Call) raises Message:
    """Raises unless the arguments, `ready` outputs among them, are what the op takes."""
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS) if ready else 0
    comptime WRITTEN = written[Op, ready]()
    check_dtype[Op](call)
    Op.check(call)
    comptime for i in range(OUTPUTS):
        var shape = Op.shape(call, i)
        check_output(call, INPUTS + i, shape, Op.output_dtype(call, i), Op.meaning(i))
    comptime if WRITTEN != 0:
        check_writes(call, INPUTS + OUTPUTS, WRITTEN, Op.IN_PLACE)


def call_op[
    Op: TorchOp, ready: Bool, engine: Int
](stack: Stack, mut held: Held, mut outputs: Held) raises Message:
    comptime INPUTS = len(Op.INPUTS)
    comptime OUTPUTS = len(Op.OUTPUTS)
    comptime TENSORS = INPUTS + (OUTPUTS if ready else 0)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    comptime WRITTEN = written[Op, ready]()
    comptime assert pop_count(OPTIONAL) == len(Op.OPTIONAL), "OPTIONAL names no input"
    comptime assert pop_count(written[Op, False]()) == len(Op.WRITTEN), "WRITTEN names no input"
    var call = Call(Op.NAME, INPUTS, not ready, name_of[Op])
    take_arguments(stack, call, held, TENSORS, Op.SCALARS, OPTIONAL)
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
    make_contiguous(call, held)
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


def may_run_past_autograd[Op: TorchOp](stack: Stack) -> Bool:
    """Whether a call may go to the kernel at once, past autograd and every dispatch key below it.

    That is so for plain tensors of which no derivative is asked. A mode, a subclass, a lazy negation (the key
    Negative) and autograd must see all other calls. Leaves the arguments on the stack.
    """
    comptime INPUTS = len(Op.INPUTS)
    comptime OPTIONAL = positions(Op.INPUTS, Op.OPTIONAL)
    var accessors = Accessors()
    if accessors.mode_is_active():
        return False
    comptime for i in range(INPUTS):
        var value = stack.unsafe_load(i)
        var tensor = borrow_optional(value) if OPTIONAL >> i & 1 else value
        if tensor and not (
            accessors.is_plain(tensor)
            and not accessors.requires_grad(tensor)
            and not accessors.has_tangent(tensor)
        ):
            return False
    return True


def autograd[Op: TorchOp, engine: Int, origin: Origin](stack: Stack, name: Pointer[UInt8, origin]):
    """The kernel of the key AutogradCPU: what it cannot run goes to the gradient formula of the op `name`."""
    if may_run_past_autograd[Op](stack):
        boxed[Op, False, engine](stack)
    else:
        call_formula(name, stack)
