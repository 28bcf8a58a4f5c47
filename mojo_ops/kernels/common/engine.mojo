"""From the dispatcher into the MAX engine, over MAX's C API: route mojo on the CPU.

Most of the time of a small call is the engine's hand-over to its own threads. So
nothing else stands between PyTorch and the engine: the arguments are checked here
as in route mojo_aot, and one graph, compiled of every op, gets the address of the
checked call. No tensor is wrapped for the engine; no Python runs. Small calls run
on a thread of the engine, large ones on PyTorch's pool (submission.mojo).
"""

from std.ffi import _Global, external_call
from std.memory import Pointer
from std.sys import size_of

from .submission import (
    RECORD,
    Engine,
    Failure,
    allocate_submitters,
    execute,
    run_on_pool,
    stop,
    submitter_at,
    take_submitter,
)
from .torch_call import Call
from .torch_message import Message

comptime FORKED: StaticString = (
    "this process was forked from one that had loaded MAX, whose threads do not survive a fork; "
    "start it with the “spawn” method"
)


@fieldwise_init
struct Graph(ImplicitlyCopyable, Movable):
    """The graph of one op; mojo_ops/engine.py writes this struct."""

    var model: Int  # M_AsyncModel, 0 while none is loaded
    var index: Int  # of the op in this model


struct Address(Movable):
    var value: Int

    def __init__(out self):
        self.value = 0


def _nowhere() -> Address:
    return Address()


comptime ENGINE = _Global["MOJO_OPS_ENGINE", _nowhere]


def set_engine(address: Int):
    """Stores the address of the engine in this library."""
    ref engine = Pointer[Engine, MutAnyOrigin](unsafe_from_address=address)[]
    engine.submitters = allocate_submitters(engine)
    try:
        ENGINE.get_or_create_ptr()[].value = address
    except:
        pass  # without memory for one address, nothing else works either


def stop_engine():
    """Waits for all executions to end; called before the process ends."""
    var address = _engine()
    if address:
        ref engine = Pointer[Engine, MutAnyOrigin](unsafe_from_address=address)[]
        stop(engine)


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
    """Runs a checked call and returns when its outputs are written."""
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
    var called = Int(Pointer(to=call).unsafe_mut_cast[True]().unsafe_origin_cast[MutAnyOrigin]())
    if worth_a_pool(call, engine.pool_from):
        var submitter = take_submitter(engine)
        if submitter:
            var message = Message()
            var success = run_on_pool(submitter, graph.model, called, graph.index, size_of[Call]())
            if not success:
                if not submitter_at(submitter)[].kernel:
                    message.write(call.op, ": ")
                message.write_text(Int(Pointer(to=submitter_at(submitter)[].error)))
            submitter_at(submitter)[].idle.post()
            if success:
                return
            raise message^
    var record = Array[Int64, RECORD](fill=0)
    var at = Pointer(to=record).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()
    at.unsafe_store(0, Int64(called))
    at.unsafe_store(1, Int64(graph.index))
    at.unsafe_store(2, Int64(size_of[Call]()))
    var failure = Failure(uninitialized=True)
    failure[0] = 0
    at.unsafe_store(4, Int64(Int(Pointer(to=failure))))
    var status = execute(engine, graph.model, at)
    if external_call["M_isError", Int32](status) != 0:
        var message = Message()
        message.write(call.op, ": ")
        message.write_text(external_call["M_getError", Int](status))
        external_call["M_freeStatus", NoneType](status)
        raise message^
    external_call["M_freeStatus", NoneType](status)
    if failure[0]:
        var message = Message()
        message.write_text(Int(Pointer(to=failure)))
        raise message^


def worth_a_pool(call: Call, pool_from: Int) -> Bool:
    """Whether a second thread saves more time than handing the kernel to the pool costs."""
    var elements = 0
    for i in range(call.inputs):
        elements += call.view(i).numel
    if elements < pool_from:
        return False
    var threads = UInt32(1)
    _ = external_call["torch_get_num_threads", Int32](Pointer(to=threads))
    return threads > 1
