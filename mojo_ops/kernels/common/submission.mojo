"""Large calls of route mojo: the engine runs the op, and the kernel's parts run on PyTorch's thread pool.

The workers of that pool belong to the thread that called the op, so the engine's
worker asks this thread to run the kernel and waits. MAX's C API can only execute
a model synchronously; a thread of ours, the submitter, therefore blocks in it:

    caller     submits the call, waits .......... runs the kernel, returns
    submitter      executes the graph, waits .................................
    engine             starts the op, waits ...................... ends the op

The first two waits end by `Submitter.turn` and `Submitter.done`. The end of the
op and of the execution overlaps with what the caller does next.
"""

from std.ffi import external_call
from std.memory import Pointer
from std.sys import size_of

from .pool import set_pool
from .semaphore import Semaphore
from .torch_message import ROOM

comptime SIG_SETMASK = Int32(2)
comptime SIGNALS = 16  # words of a sigset_t

comptime RECORD = 5
"""int64: addresses of the call, index of the op, size of Call, addresses of the submitter or 0 and of a Failure."""
comptime Record = Pointer[Int64, MutAnyOrigin]  # of any origin: it lives until the execution has ended
comptime Failure = Array[UInt8, ROOM]
"""What a kernel has raised, as a C string; empty if nothing."""
comptime Kernel = def(Int, Int, Int) thin abi("C") -> None
"""Runs a call: index of the op, address of the call, address of an empty Failure."""


@fieldwise_init
struct Engine(ImplicitlyCopyable, Movable):
    """A C struct that mojo_ops/engine.py owns and writes."""

    var context: Int  # M_RuntimeContext
    var spec: Int  # M_TensorSpec of the record
    var forked: Int
    var graphs: Int  # address of one Graph an op
    var parallel_for: Int  # address of torch_parallel_for
    var workers: Int  # threads of the engine
    var pool_from: Int  # elements of all inputs from which a call uses PyTorch's pool
    var submitters: Int  # address of as many submitters as workers, 0 where there are none


struct Submitter(Movable):
    """A thread that executes graphs for callers, one at a time, and the call that it executes."""

    var idle: Semaphore  # 1 while no caller uses this submitter
    var submitted: Semaphore  # the caller has written model and record
    var turn: Semaphore  # the engine has started the op, or failed to
    var done: Semaphore  # the caller has run the kernel
    var thread: Int  # pthread_t, 0 before the first call
    var engine: Engine
    var model: Int  # M_AsyncModel, 0 to end the thread
    var record: Array[Int64, RECORD]
    var kernel: Int  # address of a Kernel, 0 where the engine could not start the op
    var error: Failure  # of the kernel, or the reason why the engine could not start it

    def __init__(out self, engine: Engine):
        self.idle = Semaphore()
        self.submitted = Semaphore()
        self.turn = Semaphore()
        self.done = Semaphore()
        self.thread = 0
        self.engine = engine
        self.model = 0
        self.record = Array[Int64, RECORD](fill=0)
        self.kernel = 0
        self.error = Failure(fill=0)


comptime SubmitterPointer = Pointer[Submitter, MutAnyOrigin]


def submitter_at(address: Int) -> SubmitterPointer:
    return SubmitterPointer(unsafe_from_address=address)


def allocate_submitters(engine: Engine) -> Int:
    """The address of `engine.workers` submitters that live until the process ends, or 0 if out of memory."""
    var address = external_call["calloc", Int](engine.workers, size_of[Submitter]())
    if address:
        for i in range(engine.workers):
            var submitter = submitter_at(address).unsafe_offset(i)
            submitter.unsafe_write(Submitter(engine))
            submitter[].idle.set(1)
            submitter[].submitted.set(0)
            submitter[].turn.set(0)
            submitter[].done.set(0)
    return address


def execute(engine: Engine, model: Int, record: Record) -> Int:
    """Executes the graph of a record and returns an M_Status when the execution has ended."""
    var status = external_call["M_newStatus", Int]()
    var inputs = external_call["M_newAsyncTensorMap", Int](engine.context)
    external_call["M_borrowTensorInto", NoneType](inputs, record, engine.spec, status)
    var outputs = external_call["M_executeModelSync", Int](engine.context, model, inputs, status)
    external_call["M_freeAsyncTensorMap", NoneType](inputs)
    if outputs:
        external_call["M_freeAsyncTensorMap", NoneType](outputs)
    return status


def _serve(address: Int) abi("C") -> Int:
    """The function that a submitter's thread runs."""
    ref submitter = submitter_at(address)[]
    while True:
        submitter.submitted.wait()
        if not submitter.model:
            return 0
        submitter.kernel = 0
        # A copy, because the next caller may write its call while the engine ends this execution.
        var record = submitter.record.copy()
        var at = Pointer(to=record).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()
        var status = execute(submitter.engine, submitter.model, at)
        if not submitter.kernel:
            _copy_error(submitter, status)
            submitter.turn.post()
        external_call["M_freeStatus", NoneType](status)


def _copy_error(mut submitter: Submitter, status: Int):
    var text = Pointer(to=submitter.error).unsafe_bitcast[UInt8]()
    var reason = "the engine ended without starting the op".ptr()
    var source = Pointer[UInt8, MutAnyOrigin](unsafe_from_address=Int(reason))
    if external_call["M_isError", Int32](status) != 0:
        source = Pointer[UInt8, MutAnyOrigin](unsafe_from_address=external_call["M_getError", Int](status))
    var length = 0
    while length < ROOM - 1 and source.unsafe_load(length):
        text.unsafe_store(length, source.unsafe_load(length))
        length += 1
    text.unsafe_store(length, 0)


def _start(mut submitter: Submitter) -> Bool:
    """Starts the submitter's thread, if it does not run yet, and returns whether it runs. It blocks signals,
    because only Python's threads may run Python's handlers.
    """
    if submitter.thread:
        return True
    comptime function: def(Int) thin abi("C") -> Int = _serve
    var all_signals = Array[UInt64, SIGNALS](fill=~UInt64(0))
    var previous_signals = Array[UInt64, SIGNALS](fill=0)
    _ = external_call["pthread_sigmask", Int32](
        SIG_SETMASK, Pointer(to=all_signals), Pointer(to=previous_signals)
    )
    var thread = 0
    var argument = Int(Pointer(to=submitter))
    var failed = external_call["pthread_create", Int32](Pointer(to=thread), 0, function, argument)
    _ = external_call["pthread_sigmask", Int32](
        SIG_SETMASK, Pointer(to=previous_signals), Pointer(to=all_signals)
    )
    if not failed:
        submitter.thread = thread
    return failed == 0


def take_submitter(engine: Engine) -> Int:
    """The address of a submitter that only this call uses, or 0 if all are in use."""
    if engine.submitters:
        for i in range(engine.workers):
            var submitter = submitter_at(engine.submitters).unsafe_offset(i)
            if submitter[].idle.try_wait():
                if _start(submitter[]):
                    return Int(submitter)
                submitter[].idle.post()
    return 0


def run_on_pool(address: Int, model: Int, call: Int, index: Int, size: Int) -> Bool:
    """Runs a call in the engine, with its kernel on the pool of the calling thread.

    Returns False if the engine could not start the op, or its kernel raised; `error` then contains the reason.
    The caller returns the submitter afterwards.
    """
    ref submitter = submitter_at(address)[]
    submitter.error[0] = 0
    submitter.model = model
    submitter.record[0] = Int64(call)
    submitter.record[1] = Int64(index)
    submitter.record[2] = Int64(size)
    submitter.record[3] = Int64(address)
    submitter.submitted.post()
    submitter.turn.wait()
    if not submitter.kernel:
        return False
    set_pool(submitter.engine.parallel_for)
    var kernel = submitter.kernel
    Pointer(to=kernel).unsafe_bitcast[Kernel]()[](index, call, Int(Pointer(to=submitter.error)))
    set_pool(0)
    submitter.done.post()
    return submitter.error[0] == 0


def run_on_caller(address: Int, kernel: Kernel):
    """Runs as the op in the engine: makes the caller run the kernel, and waits for it."""
    ref submitter = submitter_at(address)[]
    submitter.kernel = Pointer(to=kernel).unsafe_bitcast[Int]()[]
    submitter.turn.post()
    submitter.done.wait()


def stop(mut engine: Engine):
    """Ends the submitters' threads after their executions; later calls run on a single thread."""
    var first = engine.submitters
    engine.submitters = 0
    if engine.forked or not first:
        return
    for i in range(engine.workers):
        ref submitter = submitter_at(first).unsafe_offset(i)[]
        submitter.idle.wait()
        if submitter.thread:
            submitter.model = 0
            submitter.submitted.post()
            _ = external_call["pthread_join", Int32](submitter.thread, 0)
