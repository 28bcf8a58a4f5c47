"""The MAX engine on the CPU, over its C API: starts it, loads the compiled graph, and tells libmojo_ops.so of both.

The library calls the kernels (kernels/common/engine.mojo). MAX's Python packages are not imported here; a process may
import them before or after, and use both.
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


# How long MAX's workers spin after their work, in microseconds. Each variable is read by another part of MAX 26.7,
# which aborts where the two differ; MAX's own default is 200.
_BUSY_WAIT = ("MODULAR_THREAD_BUSY_WAIT_US", "MODULAR_RUNTIME_THREAD_BUSY_WAIT_TIME_US")

# Elements of all inputs from which a call runs on PyTorch's thread pool: one hand-over more costs less than a second
# thread saves, and less than a second thread and the busy wait of 200 us.
_POOL_FROM, _POOL_FROM_BESIDE_BUSY_WAIT = 1 << 18, 1 << 20


def _let_workers_sleep(libraries: Path) -> None:
    """Sets MAX's busy wait to 0 unless the user chose a time or this process has loaded MAX already.

    PyTorch's workers spin on every core after each parallel op, so that a worker of MAX that spins as well keeps one
    of them, or the caller, from its core: see docs/engine.md.
    """
    try:
        ctypes.CDLL(str(libraries / "libAsyncRTRuntimeGlobals.so"), mode=os.RTLD_NOLOAD)
    except OSError:
        busy_wait = next((os.environ[name] for name in _BUSY_WAIT if name in os.environ), "0")
        for name in _BUSY_WAIT:
            os.environ.setdefault(name, busy_wait)


class _Max:
    """libmax.so, with errors as exceptions."""

    def __init__(self) -> None:
        root = str(library.folder_of("modular"))
        for name in ("MODULAR_MAX_PACKAGE_ROOT", "MODULAR_MOJO_MAX_PACKAGE_ROOT"):  # MAX's own packages set them too
            os.environ.setdefault(name, root)
        _let_workers_sleep(Path(root) / "lib")
        self._library = ctypes.CDLL(f"{root}/lib/libmax.so")
        for name in _POINTERS:
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.M_getError.restype = ctypes.c_char_p
        self._status = ctypes.c_void_p(self._library.M_newStatus())

    def call(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Calls a function that ends with a status.

        Raises:
            RuntimeError: MAX's own words.
        """
        result = ctypes.c_void_p(getattr(self._library, name)(*arguments, self._status))
        if self._library.M_isError(self._status):
            raise RuntimeError(f"MAX: {self._library.M_getError(self._status).decode()}")
        return result

    def new(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Calls a function that cannot fail."""
        return ctypes.c_void_p(getattr(self._library, name)(*arguments))


class Engine:
    """MAX's runtime on the CPU, and where libmojo_ops.so finds it. One a process; it lives until the process ends."""

    def __init__(self, ops: Sequence[str], library_path: Path) -> None:
        self._max = _Max()
        self.library = ctypes.CDLL(str(library_path))  # after libmax.so, which it needs and would not find
        device = self._max.call("M_newDevice", _HOST, 0)
        config = self._max.new("M_newRuntimeConfig")
        self._max.new("M_runtimeConfigAddDevice", config, device)
        self._context = self._max.call("M_newRuntimeContext", config)
        sizes = (ctypes.c_int64 * 1)(4)
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
        """A function that has the engine run a graph without a call in it: what is left is its own hand-over to its
        threads and back, for measurements."""
        (model,) = {graph.model for graph in self._graphs if graph.model}
        record = (ctypes.c_int64 * 4)(0, -1)
        inputs = self._max.new("M_newAsyncTensorMap", self._context)
        self._max.call("M_borrowTensorInto", inputs, record, ctypes.c_void_p(self._state.spec))
        execute, arguments = self._max.call, (self._context, ctypes.c_void_p(model), inputs)

        def run(_: object = record) -> None:  # the record lives as long as the function
            self._max.new("M_freeAsyncTensorMap", execute("M_executeModelSync", *arguments))

        return run

    def load(self, mef: Path, ops: Sequence[str]) -> None:
        """Loads a compiled graph of `ops`, in the order of its build; it takes the place of what those had.

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
        RuntimeError: no engine runs yet.
    """
    if _engine is None:
        raise RuntimeError("no MAX engine is loaded; import mojo_ops")
    return _engine.hand_over()


def load(path: str | os.PathLike[str]) -> float:
    """Loads the CPU graph of a build folder; ops that it does not hold keep the graphs they have.

    Args:
        path: folder written by `python -m mojo_ops.build`, possibly of a few ops only (`--ops add --out DIR`). The
            library with the argument checks is always that of the package.

    Returns:
        Seconds taken.

    Raises:
        ImportError: the folder holds no build.
        RuntimeError: it was built for a CPU with instructions that this one lacks, or by another version of MAX.
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
