"""The declaration of an op, which all routes share, and the functions that run its kernel."""

from std.memory import Pointer
from std.sys import size_of

from .engine import run_in_engine
from .torch_abi import code_of
from .torch_call import Call
from .torch_message import Message
from .torch_shape import Shape

comptime WITHOUT_ENGINE = -1


trait Pass:
    """An additional kernel that an op launches for a part of its work on the CPU."""

    comptime NAME: StaticString

    @staticmethod
    def run[dtype: DType](call: Call):
        """The kernel, on the tensors and scalars that the op puts into `call`."""
        ...


trait PassList:
    @staticmethod
    def position(name: StaticString) -> Int:
        """The position of a pass in the list, or -1 if it is not in it. For comptime."""
        ...

    @staticmethod
    def run[dtype: DType](position: Int, call: Call):
        """Runs the pass at this position."""
        ...


struct Passes[*List: Pass](PassList):
    """The passes of an op. The engine gets their positions, because it has its own compiled code of them."""

    @staticmethod
    def position(name: StaticString) -> Int:
        comptime for i in range(len(Self.List)):
            if name == Self.List[i].NAME:
                return i
        return -1

    @staticmethod
    def run[dtype: DType](position: Int, call: Call):
        comptime for i in range(len(Self.List)):
            if position == i:
                Self.List[i].run[dtype](call)


trait TorchOp:
    """What an op declares: its schema's arguments, its checks, and its kernel for CPU and GPU.

    The schema has the tensors first, then scalars of the types float, int and bool. The functions that
    PyTorch's dispatcher (torch_boxed.mojo) and MAX (max_call.mojo) call are derived from it.
    """

    comptime NAME: StaticString
    comptime INPUTS: List[StaticString]
    comptime SCALARS: Int

    comptime DTYPES: List[DType]
    """Supported dtypes of the first input; the kernel is compiled for each."""

    comptime OUTPUTS: List[StaticString] = []
    """Empty for an op that returns nothing, whose schema ends with `-> ()`."""

    comptime OPTIONAL: List[StaticString] = []
    """Inputs of type `Tensor?`: views that are not `defined` where they are None."""

    comptime WRITTEN: List[StaticString] = []
    """Inputs of type `Tensor(a!)`: contiguous, without overlap with other arguments."""

    comptime PASSES: PassList = Passes[]
    """Kernels that `drive` launches in addition to `run`."""

    comptime IN_PLACE: Bool = False
    """Whether an output may be an input: element i is read before it is written."""

    @staticmethod
    def check(call: Call) raises Message:
        """Raises if the kernel cannot take the inputs; the dtype of the first one has already been
        checked."""
        ...

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        """The sizes of an output for checked arguments, by default those of the first input."""
        return Shape(call.input(0), call.input(0).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        """A description of these sizes for error messages, such as “the shape of a”."""
        return "the shape of the first argument"

    @staticmethod
    def output_dtype(call: Call, output: Int) -> Int32:
        """PyTorch's code for the dtype of an output, by default that of the first input."""
        return call.input(0).dtype

    @staticmethod
    def drive[engine: Int](call: Call) raises Message:
        """Runs the op on the calling thread for checked arguments; by default launches the kernel. An op that
        calls PyTorch overrides this and launches its kernel on another `Call`.
        """
        launch[Self, engine](call)

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        """The kernel, on contiguous tensors. `dtype` is that of the first input; `target` is as in MAX's `execute`.

        Outputs are not all empty; without outputs, the first input is not empty. What it raises reaches the caller
        in Python, with its text.
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


def positions(names: List[StaticString], selection: List[StaticString]) -> Int:
    """A bit for each of `names` that is in `selection`. For comptime."""
    var bits = 0
    for i in range(len(names)):
        for name in selection:
            if name == names[i]:
                bits |= 1 << i
    return bits


def run_kernel[Op: TorchOp, dtype: DType](call: Call) raises Message:
    """Runs the kernel that `call` names."""
    if call.kernel:
        Op.PASSES.run[dtype](call.kernel - 1, call)
        return
    try:
        Op.run[dtype, "cpu"](call)
    except error:
        # Never destroyed: freeing its text would make the library depend on Mojo's run-time libraries.
        var room = Array[UInt8, size_of[Error]()](uninitialized=True)
        var kept = Pointer(to=room).unsafe_bitcast[Error]()
        kept.unsafe_write(error^)
        var message = Message()
        message.write(kept[])
        if not message.length:
            message.write(call.op, ": the kernel raised an error without a text")
        raise message^


def call_kernel[Op: TorchOp](call: Call) raises Message:
    """Runs the kernel that `call` names, compiled for the dtype of the first input."""
    var dtype = call.input(0).dtype
    comptime for i in range(len(Op.DTYPES)):
        comptime d = Op.DTYPES[i]
        if dtype == code_of[d]():
            run_kernel[Op, d](call)


def launch[Op: TorchOp, engine: Int](call: Call) raises Message:
    """Runs the kernel that `call` names, here or in the engine."""
    comptime if engine == WITHOUT_ENGINE:
        call_kernel[Op](call)
    else:
        run_in_engine(engine, call)


def launch_pass[Op: TorchOp, engine: Int, Pass: Pass](mut call: Call) raises Message:
    """Runs one of the op's PASSES, here or in the engine."""
    comptime position = Op.PASSES.position(Pass.NAME)
    comptime assert position >= 0, "PASSES does not name this pass"
    call.kernel = position + 1
    launch[Op, engine](call)
