"""Starts the MAX engine on the CPU through its C API, loads the compiled graph and registers both with libmojo_ops.so.

libmojo_ops.so calls the kernels (kernels/common/engine.mojo). This module does not import MAX's Python packages, but a
process may use them as well.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import artifacts, library, native

_HOST, _INT64 = 0, 6 << 1 | 1 << 7 | 1  # M_HOST, M_INT64 in max/include/max/c/types.h


class _Graph(ctypes.Structure):
    _fields_ = (("model", ctypes.c_void_p), ("index", ctypes.c_int64))


class _Engine(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("spec", ctypes.c_void_p),
        ("forked", ctypes.c_int64),
        ("graphs", ctypes.c_void_p),
        ("parallel_for", ctypes.c_void_p),
        ("workers", ctypes.c_int64),
        ("pool_from", ctypes.c_int64),
        ("submitters", ctypes.c_void_p),
    )


_POINTERS = (
    "M_newStatus",
    "M_newDevice",
    "M_newRuntimeConfig",
    "M_newRuntimeContext",
    "M_newCompileConfig",
    "M_compileModelSync",
    "M_initModel",
    "M_newTensorSpec",
    "M_newAsyncTensorMap",
    "M_executeModelSync",
)


# How long MAX's workers spin after their work, in microseconds (default: 200). Different parts of MAX 26.7 read
# these variables, and MAX aborts if their values differ.
_BUSY_WAIT = ("MODULAR_THREAD_BUSY_WAIT_US", "MODULAR_RUNTIME_THREAD_BUSY_WAIT_TIME_US")

# Number of input elements from which a call runs on PyTorch's thread pool: from there on, a second thread saves more
# than the extra hand-over costs, without and with a busy wait of 200 us.
_POOL_FROM, _POOL_FROM_BESIDE_BUSY_WAIT = 1 << 18, 1 << 20


def _let_workers_sleep(libraries: Path) -> None:
    """Sets MAX's busy wait to 0, unless the user has set it or this process has already loaded MAX.

    PyTorch's workers spin on every core after each parallel op. A MAX worker that also spins would take a core from
    one of them or from the caller; see docs/engine.md.
    """
    try:
        ctypes.CDLL(str(libraries / "libAsyncRTRuntimeGlobals.so"), mode=os.RTLD_NOLOAD)
    except OSError:
        busy_wait = next((os.environ[name] for name in _BUSY_WAIT if name in os.environ), "0")
        for name in _BUSY_WAIT:
            os.environ.setdefault(name, busy_wait)


class _Max:
    """libmax.so, whose errors become exceptions."""

    def __init__(self) -> None:
        root = str(library.folder_of("modular"))
        for name in ("MODULAR_MAX_PACKAGE_ROOT", "MODULAR_MOJO_MAX_PACKAGE_ROOT"):  # MAX's packages set these too
            os.environ.setdefault(name, root)
        _let_workers_sleep(Path(root) / "lib")
        self._library = ctypes.CDLL(f"{root}/lib/libmax.so")
        for name in _POINTERS:
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.M_getError.restype = ctypes.c_char_p
        self._status = ctypes.c_void_p(self._library.M_newStatus())

    def call(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Calls a function whose last argument is a status.

        Raises:
            RuntimeError: the call failed; the message is MAX's.
        """
        result = ctypes.c_void_p(getattr(self._library, name)(*arguments, self._status))
        if self._library.M_isError(self._status):
            raise RuntimeError(f"MAX: {self._library.M_getError(self._status).decode()}")
        return result

    def new(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Calls a function that cannot fail."""
        return ctypes.c_void_p(getattr(self._library, name)(*arguments))


class Engine:
    """MAX's runtime on the CPU, registered with libmojo_ops.so. There is one per process, which lives until it ends."""

    def __init__(self, ops: Sequence[str], library_path: Path) -> None:
        self._max = _Max()
        self.library = ctypes.CDLL(str(library_path))  # loaded after libmax.so, which it needs but would not find
        device = self._max.call("M_newDevice", _HOST, 0)
        config = self._max.new("M_newRuntimeConfig")
        self._max.new("M_runtimeConfigAddDevice", config, device)
        self._context = self._max.call("M_newRuntimeContext", config)
        sizes = (ctypes.c_int64 * 1)(library.RECORD)
        spec = self._max.new("M_newTensorSpec", sizes, ctypes.c_int64(1), _INT64, b"input0", device)
        self._positions = {op: i for i, op in enumerate(ops)}
        self._graphs = (_Graph * len(ops))()
        workers = len(os.sched_getaffinity(0))
        pool_from = _POOL_FROM if os.environ.get(_BUSY_WAIT[0]) == "0" else _POOL_FROM_BESIDE_BUSY_WAIT
        graphs, parallel_for = ctypes.addressof(self._graphs), native.address("torch_parallel_for")
        self._state = _Engine(self._context, spec, 0, graphs, parallel_for, workers, pool_from, None)
        self.library.mojo_ops_set_engine(ctypes.c_int64(ctypes.addressof(self._state)))
        os.register_at_fork(after_in_child=self._forget)
        if not hasattr(self.library, "mojo_ops_stop_engine"):
            raise ImportError(f"{library_path} was built from older sources; run: nox -s build_mojo")
        atexit.register(self.library.mojo_ops_stop_engine)

    def _forget(self) -> None:
        # MAX's worker threads do not survive a fork: an execution in the child would wait for ever.
        self._state.forked = 1

    def hand_over(self) -> Callable[[], None]:
        """A function that has the engine run the graph without a kernel, to measure the hand-over to its threads."""
        (model,) = {graph.model for graph in self._graphs if graph.model}
        record = (ctypes.c_int64 * library.RECORD)(0, -1)
        inputs = self._max.new("M_newAsyncTensorMap", self._context)
        self._max.call("M_borrowTensorInto", inputs, record, ctypes.c_void_p(self._state.spec))
        execute, arguments = self._max.call, (self._context, ctypes.c_void_p(model), inputs)

        def run(_: object = record) -> None:  # keeps the record alive as long as the function
            self._max.new("M_freeAsyncTensorMap", execute("M_executeModelSync", *arguments))

        return run

    def load(self, mef: Path, ops: Sequence[str]) -> None:
        """Loads a compiled graph of `ops`, in build order, which replaces the graphs that these ops had.

        Raises:
            RuntimeError: MAX cannot load it.
        """
        config = self._max.new("M_newCompileConfig")
        self._max.new("M_setModelPath", config, str(mef).encode())
        compiled = self._max.call("M_compileModelSync", self._context, ctypes.byref(config))
        model = self._max.call("M_initModel", self._context, compiled, None)
        self._max.call("M_waitForModel", model)
        for index, op in enumerate(ops):
            if op in self._positions:
                self._graphs[self._positions[op]] = _Graph(model, index)


_engine: Engine | None = None


def hand_over() -> Callable[[], None]:
    """See `Engine.hand_over`.

    Raises:
        RuntimeError: the engine has not been started.
    """
    if _engine is None:
        raise RuntimeError("no MAX engine is loaded; import mojo_ops")
    return _engine.hand_over()


def load(path: str | os.PathLike[str]) -> float:
    """Loads the CPU graph in a build folder. Ops that it does not contain keep their graphs.

    Args:
        path: folder written by `python -m mojo_ops.build`; it may contain only some ops (`--ops add --out DIR`). The
            library with the argument checks is always that of the package.

    Returns:
        Seconds taken.

    Raises:
        ImportError: the folder contains no build.
        RuntimeError: the build needs CPU instructions that this machine lacks, or another version of MAX.
    """
    global _engine
    start = time.perf_counter()
    folder = Path(path)
    mef = folder / artifacts.artifact_name("cpu")
    record = artifacts.read_record(folder)
    if not record or not mef.is_file():
        raise ImportError(f"mojo_ops has no compiled kernels in {folder}; build them with: nox -s build_mojo")
    artifacts.require_cpu("mojo_ops", record, artifacts.missing_features(record))
    build_version, installed_version = record.get("versions", {}).get("max"), artifacts.versions().get("max")
    if build_version != installed_version:
        raise RuntimeError(
            f"mojo_ops was built by MAX {build_version}, but {installed_version} is installed; run: nox -s build_mojo"
        )
    if _engine is None:
        ops = artifacts.read_record(artifacts.ARTIFACTS)["ops"]
        _engine = Engine(ops, artifacts.ARTIFACTS / artifacts.CHECKS_LIBRARY)
        native.set_accessors("mojo_ops", _engine.library)
        for op in ops:
            native.register("mojo_ops", op, _engine.library)
        native.refuse_derivatives("mojo_ops", ops)
    _engine.load(mef, record["ops"])
    return time.perf_counter() - start
