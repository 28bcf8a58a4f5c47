"""From the dispatcher into the MAX engine, over MAX's C API: route mojo on the CPU.

What a call costs there is the engine's hand-over to its own threads, and that
grows by the time since the last call: 24 us without a pause, 49 after 12 us.
So nothing stands between PyTorch and the engine: the arguments are checked
here as in route mojo_aot, and one graph, compiled of every op, gets the address
of the checked call. No tensor is wrapped for the engine; no Python runs.
"""

from std.ffi import _Global, external_call
from std.memory import Pointer
from std.sys import size_of

from .torch_call import Call
from .torch_message import Message

comptime FORKED: StaticString = (
    "this process was forked from one that had loaded MAX, whose threads do not survive a fork; "
    "start it with the «spawn» method"
)
comptime RECORD = 3  # int64: address of the call, index of the op, size of Call


@fieldwise_init
struct Graph(ImplicitlyCopyable, Movable):
    """Of one op; written by mojo_ops/engine.py."""

    var model: Int  # M_AsyncModel, 0 while none is loaded
    var index: Int  # of the op in this model


@fieldwise_init
struct Engine(ImplicitlyCopyable, Movable):
    """Written by mojo_ops/engine.py, which owns it; a C struct there."""

    var context: Int  # M_RuntimeContext
    var spec: Int  # M_TensorSpec of the record
    var forked: Int
    var graphs: Int  # address of one Graph an op


struct Address(Movable):
    var value: Int

    def __init__(out self):
        self.value = 0


def _nowhere() -> Address:
    return Address()


comptime ENGINE = _Global["MOJO_OPS_ENGINE", _nowhere]


def set_engine(address: Int):
    """Tells this library where its engine is."""
    try:
        ENGINE.get_or_create_ptr()[].value = address
    except:
        pass  # without memory for one address nothing else works either


@always_inline
def _engine() -> Int:
    try:
        return ENGINE.get_or_create_ptr()[].value
    except:
        return 0


def refuse(call: Call, reason: StaticString) raises Message:
    var message = Message()
    message.write(call.op, ": ", reason)
    raise message^


def run_in_engine(op: Int, call: Call) raises Message:
    """Runs a checked call; returns when its outputs are written."""
    var address = _engine()
    if not address:
        refuse(call, "no MAX engine is loaded; import mojo_ops")
    var engine = Pointer[Engine, MutAnyOrigin](unsafe_from_address=address)[]
    if engine.forked:
        refuse(call, FORKED)
    var graph = Pointer[Graph, MutAnyOrigin](unsafe_from_address=engine.graphs)[unsafe_offset=op]
    if not graph.model:
        refuse(call, "no graph is loaded; run: nox -s build_mojo")
    # MutAnyOrigin: call and record must live until the engine is done.
    var record = Array[Int64, RECORD](fill=Int64(size_of[Call]()))
    var at = Pointer(to=record).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()
    var given = Pointer(to=call).unsafe_mut_cast[True]().unsafe_origin_cast[MutAnyOrigin]()
    at.unsafe_store(0, Int64(Int(given)))
    at.unsafe_store(1, Int64(graph.index))
    var status = external_call["M_newStatus", Int]()
    var inputs = external_call["M_newAsyncTensorMap", Int](engine.context)
    external_call["M_borrowTensorInto", NoneType](inputs, at, engine.spec, status)
    var outputs = external_call["M_executeModelSync", Int](engine.context, graph.model, inputs, status)
    external_call["M_freeAsyncTensorMap", NoneType](inputs)
    if outputs:
        external_call["M_freeAsyncTensorMap", NoneType](outputs)
    if external_call["M_isError", Int32](status) != 0:
        var message = Message()
        message.write(call.op, ": ")
        message.write_text(external_call["M_getError", Int](status))
        external_call["M_freeStatus", NoneType](status)
        raise message^
    external_call["M_freeStatus", NoneType](status)
