"""Stress tests of the bindings: threads, autograd, aliases, lifetimes, fork, exit, memory and shapes.

By default the numbers of calls are small. `BRIDGE_FULL=1 pytest shared_tests/test_bridge.py --all-combinations` runs
the numbers for a release (10,000 calls a thread, 100,000 for memory, five exits of each kind) and prints the memory
growth. It takes minutes.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from shared_tests.accuracy import expected, mismatch
from shared_tests.child import run_child
from shared_tests.conftest import representative, routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec, all_specs

FULL = os.environ.get("BRIDGE_FULL") == "1"
THREADS = 8
CALLS_A_THREAD = 10_000 if FULL else 100
MEMORY_CALLS = 100_000 if FULL else 10_000
EXITS = 5 if FULL else 1
SHAPES = 1_000
BYTES_A_CALL = 5e6 / 100_000
NOISE_BYTES = 1e6
"""Resident memory varies by this much without any call, because of single pages and malloc arenas."""

Call = Callable[..., Any]

bridges = routes_where(lambda route: route.ours and not route.jit)
registered = routes_where(lambda route: route.namespace is not None)
OPS_WHERE = representative


def tensors(args: tuple[Any, ...]) -> list[torch.Tensor]:
    return [a for a in args if isinstance(a, torch.Tensor)]


def with_tensors(args: tuple[Any, ...], replacements: list[torch.Tensor]) -> tuple[Any, ...]:
    """`args` with its tensors replaced, in order."""
    replacement_iterator = iter(replacements)
    return tuple(next(replacement_iterator) if isinstance(a, torch.Tensor) else a for a in args)


def right(spec: OpSpec, args: tuple[Any, ...], value: Any) -> str | None:
    return mismatch(spec, expected(spec, args), value)


# Several Python threads


def wrong_in_threads(spec: OpSpec, call: Call, device: str, calls: int) -> str | None:
    """None if eight threads, each with its own values, get the right result in each of `calls` calls."""
    errors: list[str] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        try:
            sized = spec.sized(1 + number % 3, spec.dtypes[0], device)
            args = with_tensors(sized, [torch.roll(t, number) for t in tensors(sized)])
            reference = spec.results(spec.yardstick(*args))
            allowed = [a + 1e-30 for a in expected(spec, args).allowed]
            start.wait(60)
            for i in range(calls):
                actual = spec.results(call(*args))
                for result, reference_result, limit in zip(actual, reference, allowed, strict=True):
                    if not (result.double() - reference_result.double()).abs().max().item() <= 2 * limit:
                        raise AssertionError(f"wrong result in call {i}")
        except Exception as error:
            errors.append(f"thread {number}: {type(error).__name__}: {error}")
            start.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    return errors[0] if errors else None


@bridges
def test_eight_threads(spec: OpSpec, route: Route, device: str) -> None:
    assert wrong_in_threads(spec, route.functional(spec), device, CALLS_A_THREAD) is None


@bridges
def test_eight_threads_with_work_split_over_a_pool(spec: OpSpec, route: Route, device: str) -> None:
    """Several threads call at once, with tensors so large that a route with a thread pool uses it."""
    call = route.functional(spec)
    args = next(b for b in reversed(spec.bench_samples) if b.elements <= 1 << 24).make(spec.dtypes[0], device)
    expected_results = spec.results(call(*args))
    failures: list[str] = []

    def work() -> None:
        for _ in range(2):
            for result, expected_result in zip(spec.results(call(*args)), expected_results, strict=True):
                if not torch.equal(result, expected_result):
                    failures.append("another result than in one thread")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert not failures


def test_a_buffer_shared_between_calls_is_caught() -> None:
    """A binding with a single scratch buffer for all callers is right in one thread and wrong in eight."""
    from shared_tests.ops.add import SPEC

    scratch: dict[int, torch.Tensor] = {}

    def shared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        buffer = scratch.setdefault(a.numel(), torch.empty(a.numel()))
        torch.add(a.reshape(-1), b.reshape(-1), out=buffer)
        threading.Event().wait(1e-4)  # lets another thread run between the two steps
        return buffer.view(a.shape).clone()

    args = SPEC.sized(1, torch.float32, "cpu")
    assert right(SPEC, args, shared(*args)) is None
    assert wrong_in_threads(SPEC, shared, "cpu", 50)


# Autograd, inference mode, kinds of tensor


@bridges
def test_inside_a_running_autograd_engine(spec: OpSpec, route: Route, device: str) -> None:
    """The op is called in backward, on the caller's thread and on threads of the autograd engine.

    The engine switches to its own threads when calls of backward are nested sixty deep.
    """
    call, args = route.functional(spec), spec.sized(2, spec.dtypes[0], device)
    expected_results = spec.results(call(*args))
    wrong_depths: list[int] = []
    thread_ids = set()

    class Nested(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, depth: int) -> torch.Tensor:
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> Any:
            thread_ids.add(threading.get_ident())
            actual = spec.results(call(*args))
            if not all(
                torch.equal(result, expected_result)
                for result, expected_result in zip(actual, expected_results, strict=True)
            ):
                wrong_depths.append(ctx.depth)
            if ctx.depth:
                with torch.enable_grad():
                    inner = torch.ones(1, device=device, requires_grad=True)
                    Nested.apply(inner, ctx.depth - 1).sum().backward()
            return gradient, None

    Nested.apply(torch.ones(1, device=device, requires_grad=True), 70).sum().backward()
    assert len(thread_ids) > 1, "no call came from a thread of the engine"
    assert not wrong_depths


@bridges
def test_inference_mode(spec: OpSpec, route: Route, device: str) -> None:
    with torch.inference_mode():
        args = spec.sized(2, spec.dtypes[0], device)
        assert args[0].is_inference()
        results = route.functional(spec)(*args)
        assert right(spec, args, results) is None
        outputs = spec.empty_outputs(*args)
        if out := route.out(spec):
            out(*args, *outputs)
            assert right(spec, args, outputs) is None
    # Inference tensors are also accepted outside of inference mode.
    assert right(spec, args, route.functional(spec)(*args)) is None


@bridges
def test_inputs_that_require_grad(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.dtypes[0].is_floating_point:
        pytest.skip("integers have no gradient")
    plain = spec.sized(2, spec.dtypes[0], device)
    leaves = with_tensors(plain, [t.clone().requires_grad_(t.is_floating_point()) for t in tensors(plain)])
    inner = with_tensors(plain, [t * 1 for t in tensors(leaves)])
    parameters = with_tensors(plain, [torch.nn.Parameter(t, t.is_floating_point()) for t in tensors(plain)])
    for args in (leaves, inner, parameters):
        with torch.set_grad_enabled(route.namespace is not None):  # a route without autograd raises an error
            results = tuple(r.detach() for r in spec.results(route.functional(spec)(*args)))
        assert right(spec, plain, results) is None
        if out := route.out(spec):
            outputs = spec.empty_outputs(*plain)
            with torch.no_grad():  # test_derivatives.py tests the error with gradients recorded
                out(*args, *outputs)
            assert right(spec, plain, outputs) is None


@registered
def test_write_into_a_tensor_that_backward_needs_is_noticed(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.dtypes[0].is_floating_point:
        pytest.skip("integers have no gradient")
    out, args = route.out(spec), spec.sized(2, spec.dtypes[0], device)
    assert out is not None
    leaf = torch.ones_like(spec.empty_outputs(*args)[0]).requires_grad_()
    saved = leaf.clone()
    loss = (saved * saved).sum()
    with torch.no_grad():
        out(*args, saved, *spec.empty_outputs(*args)[1:])
    with pytest.raises(RuntimeError, match="inplace operation"):
        loss.backward()


class Tagged(torch.Tensor):
    """A subclass without any behaviour."""


class RecordingTensor(torch.Tensor):
    """A wrapper subclass that records every op that reaches it."""

    functions: list[str]
    wrapped_tensor: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> RecordingTensor:
        self = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        self.wrapped_tensor = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        RecordingTensor.functions.append(str(func))
        inner_args = [a.wrapped_tensor if isinstance(a, RecordingTensor) else a for a in args]
        inner_kwargs = {k: a.wrapped_tensor if isinstance(a, RecordingTensor) else a for k, a in (kwargs or {}).items()}
        return func(*inner_args, **inner_kwargs)


@bridges
def test_subclass_without_behaviour(spec: OpSpec, route: Route, device: str) -> None:
    plain = spec.sized(2, spec.dtypes[0], device)
    args = with_tensors(plain, [t.as_subclass(Tagged) for t in tensors(plain)])
    results = tuple(r.as_subclass(torch.Tensor) for r in spec.results(route.functional(spec)(*args)))
    assert right(spec, plain, results) is None


@registered
def test_subclass_that_sees_the_op(spec: OpSpec, route: Route, device: str) -> None:
    plain = spec.sized(2, spec.dtypes[0], device)
    RecordingTensor.functions = []
    args = with_tensors(plain, [RecordingTensor(t) for t in tensors(plain)])
    results = route.functional(spec)(*args)
    assert RecordingTensor.functions == [f"{route.namespace}.{spec.name}.default"]
    assert right(spec, plain, results) is None


# Aliases and views


@registered
def test_out_is_an_input(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.out_may_be_input:
        pytest.skip("the spec does not allow it")
    out = route.out(spec)
    assert out is not None
    for n, dtype in itertools.product((1, 3, 40), spec.dtypes):
        for position in range(len(tensors(spec.sized(1, dtype, device)))):
            args = spec.sized(n, dtype, device)
            reference = expected(spec, args)
            target = tensors(args)[position]
            if target.shape == spec.empty_outputs(*args)[0].shape:
                out(*args, target)
                assert mismatch(spec, reference, target) is None, (n, dtype, position)


def wrong_after_overlap(spec: OpSpec, out: Call, device: str) -> str | None:
    """None if an output that overlaps an input raises an error that says so, or gets the right result."""
    args = spec.sized(3, spec.dtypes[0], device)
    outputs = spec.empty_outputs(*args)
    first = tensors(args)[0]
    shift = 5
    storage = torch.zeros(max(first.numel(), outputs[0].numel()) + shift, dtype=first.dtype, device=device)
    overlapped = storage[: first.numel()].view(first.shape).copy_(first)
    target = storage[shift : shift + outputs[0].numel()].view(outputs[0].shape)
    reference = expected(spec, args)
    try:
        out(overlapped, *args[1:], target, *outputs[1:])
    except (RuntimeError, ValueError) as error:
        return None if "overlap" in str(error) or "memory" in str(error) else f"unclear error: {error}"
    return mismatch(spec, reference, (target, *outputs[1:]))


@registered
def test_out_overlaps_an_input(spec: OpSpec, route: Route, device: str) -> None:
    out = route.out(spec)
    assert out is not None
    assert wrong_after_overlap(spec, out, device) is None


def test_an_unchecked_overlap_is_caught() -> None:
    from shared_tests.ops.gelu_tanh import SPEC

    def eight_at_a_time(x: torch.Tensor, out: torch.Tensor) -> None:
        source, target = x.view(-1), out.view(-1)
        for i in range(0, source.numel(), 8):
            target[i : i + 8] = SPEC.reference(source[i : i + 8])

    assert wrong_after_overlap(SPEC, eight_at_a_time, "cpu")


def write_outside_output(spec: OpSpec, out: Call, args: tuple[Any, ...]) -> str | None:
    """None if outputs in the middle of larger storage are right and nothing around them is written."""
    edges, outputs, storages = 64, [], []
    for output in spec.empty_outputs(*args):
        storage = torch.full((output.numel() + 2 * edges + 1,), 77, dtype=output.dtype, device=output.device)
        storages.append(storage)
        outputs.append(storage[edges + 1 : edges + 1 + output.numel()].view(output.shape))
    out(*args, *outputs)
    for storage, view in zip(storages, outputs, strict=True):
        if bool((storage[: edges + 1] != 77).any()) or bool((storage[edges + 1 + view.numel() :] != 77).any()):
            return "elements beside the output were written"
    return right(spec, args, tuple(outputs))


@registered
def test_out_in_the_middle_of_a_storage(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    out = route.out(spec)
    assert out is not None
    for n in (1, 2, 3):
        assert write_outside_output(spec, out, spec.sized(n, dtype, device)) is None


def test_a_write_beside_out_is_caught() -> None:
    from shared_tests.ops.add import SPEC

    def whole_vectors(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        size = -(-out.numel() // 16) * 16
        padded = torch.zeros(size)
        padded[: out.numel()] = (a + b).view(-1)
        out.as_strided((size,), (1,)).copy_(padded)

    assert write_outside_output(SPEC, whole_vectors, SPEC.sized(1, torch.float32, "cpu"))


# Lifetimes


@bridges
def test_last_reference_dropped_while_the_call_runs(route: Route, device: str) -> None:
    """Only the call refers to its arguments, while other threads allocate and overwrite blocks of the same sizes."""
    code = """
    stop = False
    def scribble():
        while not stop:
            blocks = [torch.full_like(a, 113) for a in args if isinstance(a, torch.Tensor)]
            del blocks
    workers = [threading.Thread(target=scribble) for _ in range(3)]
    for w in workers: w.start()
    wrong = 0
    box = []
    for _ in range(300):
        box.append(tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args))
        wrong += not right(call(*box.pop()))
    stop = True
    for w in workers: w.join()
    assert not wrong, wrong
    print("done")
    """
    child = run_child(code, 120, route.name, "rope", device)
    assert child.code == 0, child
    assert "done" in child.output, child


@bridges
def test_result_outlives_everything(spec: OpSpec, route: Route, device: str) -> None:
    """Results own their memory: the inputs may be freed and their memory overwritten."""
    args = spec.sized(3, spec.dtypes[0], device)
    reference = expected(spec, args)
    copies = with_tensors(args, [t.clone() for t in tensors(args)])
    results = route.functional(spec)(*copies)
    for t in tensors(copies):
        t.fill_(113)
    del copies
    gc.collect()
    garbage = [torch.full_like(t, 113) for t in tensors(args) for _ in range(8)]
    assert mismatch(spec, reference, results) is None
    del garbage


# Processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("parent_use", ["loaded only", "called before", "called in a thread"])
@bridges
def test_fork_after_load(route: Route, device: str, parent_use: str) -> None:
    """The forked child computes the right result, or raises an error that says that it was forked."""
    if device != "cpu":
        pytest.skip("CUDA cannot be used in a forked child, whatever the route")
    parent_code = {
        "loaded only": "",
        "called before": "call(*args)",
        "called in a thread": "t = threading.Thread(target=call, args=args); t.start(); t.join()",
    }[parent_use]
    code = f"""
    import importlib
    from shared_tests.spec import all_specs
    from shared_tests.routes import all_routes
    import torch, os, threading
    spec = all_specs()["add"]
    call = all_routes()[{route.name!r}].functional(spec)
    args = (torch.ones(37), torch.ones(37))
    {parent_code}
    child = os.fork()
    if child == 0:
        try:
            code = 0 if bool((call(*args) == 2).all()) else 3
        except RuntimeError as error:
            code = 0 if "fork" in str(error) else 4
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert bool((call(*args) == 2).all()), "the parent"
    os._exit(0)
    """
    child = run_child(code, 60)
    assert child.code == 0, child


# With `--all-combinations`, each of these has its own process.
EXIT_CODES = {
    "after calls": "",
    "with results alive in a module": "import builtins; builtins.kept = [call(*args) for _ in range(9)]",
    "after calls in threads": """
ts = [threading.Thread(target=lambda: [call(*args) for _ in range(50)]) for _ in range(4)]
for t in ts: t.start()
for t in ts: t.join()
""",
    "calling from atexit": "import atexit; atexit.register(lambda: right(call(*args)) or os._exit(9))",
    "after an error": """
try:
    call(*args[:-1], None)
except Exception:
    pass
""",
    "by an exception": "import traceback; sys.excepthook = lambda *a: None; raise SystemExit(0)",
}
EXITS_WITH_WORK_BEHIND = ("with results alive in a module", "after calls in threads", "after an error")
EXITS_WITH_WORK_AHEAD = ("calling from atexit", "by an exception")


def exits(route: Route, device: str, code: str) -> None:
    """The process ends without a hang, with status 0 and without the message of an abort."""
    for _ in range(EXITS):
        child = run_child(code, 90, route.name, "add", device)
        assert child.code == 0, child
        assert "terminate called" not in child.output, child


@pytest.mark.parametrize("circumstances", [EXITS_WITH_WORK_BEHIND, EXITS_WITH_WORK_AHEAD], ids=["behind", "ahead"])
@bridges
def test_interpreter_exit(route: Route, device: str, circumstances: tuple[str, ...]) -> None:
    """Tests several circumstances of an exit in the same process."""
    exits(route, device, "\n".join(EXIT_CODES[circumstance] for circumstance in circumstances))


@pytest.mark.combinations
@pytest.mark.parametrize("circumstance", EXIT_CODES)
@bridges
def test_interpreter_exit_in_each_circumstance(route: Route, device: str, circumstance: str) -> None:
    exits(route, device, EXIT_CODES[circumstance])


@bridges
def test_exit_during_calls_of_a_daemon_thread(route: Route, device: str) -> None:
    """The process does not hang. SIGABRT is accepted, because it also ends Python 3.11 with torch.add (6 of 6 runs).

    Before version 3.14, Python ends a daemon thread by unwinding its stack, through C++ frames that forbid it.
    """
    code = """
    def forever():
        while True:
            call(*args)
    threading.Thread(target=forever, daemon=True).start()
    time.sleep(0.2)
    """
    for _ in range(EXITS):
        child = run_child(code, 60, route.name, "add", device)
        assert child.code in (0, -signal.SIGABRT), child


def test_a_hang_at_exit_is_caught() -> None:
    child = run_child("import threading; threading.Thread(target=threading.Event().wait).start()", 5)
    assert child.code is None


def test_a_crash_is_caught() -> None:
    assert run_child("import os; os.abort()", 30).code not in (0, None)


# Memory


def allowed_growth(calls: int) -> float:
    """The growth allowed for a number of calls, in bytes: 5 MB for 100,000 calls, plus noise for fewer calls."""
    return BYTES_A_CALL * calls + (0 if calls >= 100_000 else NOISE_BYTES)


# Each entry defines `run`, which makes a call in one way.
PATHS = {
    "functional": "run = lambda: call(*args)",
    "out": "outs = spec.empty_outputs(*args); out = route.out(spec); run = lambda: out(*args, *outs)",
    "views": "views = (args[0].t().contiguous().t(), *args[1:]); run = lambda: call(*views)",
    "refused": """
def run():
    try:
        call(args[0].t().contiguous().t(), args[1][1:], args[2])
    except (ValueError, RuntimeError):
        return
    raise AssertionError("not refused")
""",
}
# Runs all paths in turn. A call that raises takes five times as long as others, so it runs less often.
IN_TURN = """
import itertools
turns = itertools.count()
def run():
    for name, path in paths.items():
        if name != "refused" or next(turns) % 5 == 0:
            path()
"""


def grown(code: str, calls: int, route: str | None = None, device: str = "cpu") -> float:
    """The growth in bytes of a fresh process over `calls` calls of `run`, which `code` defines."""
    measure = f"\nfrom shared_tests.memory import growth\nprint('@@', growth(run, {calls}))\n"
    child = run_child(code + measure, 600, route, "rms_norm", device)
    assert "@@" in child.output, child
    return float(child.output.rpartition("@@")[2])


def paths_of(route: Route) -> list[str]:
    """The keys of `PATHS` that apply to the route."""
    return [path for path in PATHS if path != "out" or route.out(all_specs()["rms_norm"]) is not None]


@bridges
def test_memory_stays_flat(route: Route, device: str) -> None:
    """All paths together, in the same process, stay within the growth that is allowed for one path."""
    code = "paths = {}\n" + "".join(f"{PATHS[path]}\npaths[{path!r}] = run\n" for path in paths_of(route)) + IN_TURN
    leaked = grown(code, MEMORY_CALLS, route.name, device)
    assert leaked < allowed_growth(MEMORY_CALLS), f"{leaked / 1e6:.2f} MB over {MEMORY_CALLS} calls"


@pytest.mark.combinations
@pytest.mark.parametrize("path", PATHS)
@bridges
def test_memory_stays_flat_on_each_path(
    route: Route, device: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tests results, outputs that the caller passes, copies of views, and calls that raise, separately."""
    if path not in paths_of(route):
        pytest.skip("the route has no out variant")
    calls = MEMORY_CALLS if path != "refused" else MEMORY_CALLS // 5
    leaked = grown(PATHS[path], calls, route.name, device)
    if FULL:
        with capsys.disabled():
            print(f"\n{route.name}, {path}: {leaked / 1e6:+.2f} MB over {calls:,} calls", end="")
    assert leaked < allowed_growth(calls), f"{leaked / 1e6:.2f} MB over {calls} calls"


def test_a_leak_is_caught() -> None:
    """Detects that a tensor is leaked at each call, which is a few hundred bytes."""
    assert grown("import torch; kept = []; run = lambda: kept.append(torch.empty(16))", 10_000) > allowed_growth(10_000)


# Shapes


def random_shapes(spec: OpSpec, dtype: torch.dtype, device: str, count: int) -> list[tuple[Any, ...]]:
    """Calls of `count` different combinations of sizes, as views of one large call.

    Dimensions that have the same size in `spec.sized` are kept equal; each is a multiple of its size at n = 1.
    """
    unit, double = spec.sized(1, dtype, "cpu"), spec.sized(2, dtype, "cpu")
    varying = {
        size
        for tensor, unit_tensor in pairs(double, unit)
        for size, unit_size in zip(tensor.shape, unit_tensor.shape, strict=True)
        if size != unit_size
    }
    n = 2
    while n ** len(varying) < 1.2 * count:
        n += 1
    largest = spec.sized(n, dtype, device)
    factor = {
        size: size // n
        for tensor, unit_tensor in pairs(largest, unit)
        for size, unit_size in zip(tensor.shape, unit_tensor.shape, strict=True)
        if size != unit_size
    }
    combinations: set[tuple[int, ...]] = set()
    generator = random.Random(0)
    while len(combinations) < count:
        combinations.add(tuple(generator.randint(1, n) for _ in factor))
    calls = []
    for multiples in sorted(combinations):
        sizes = {
            size: size_factor * multiple
            for (size, size_factor), multiple in zip(factor.items(), multiples, strict=True)
        }
        views = []
        for tensor, unit_tensor in pairs(largest, unit):
            view = tensor
            for dim, (size, unit_size) in enumerate(zip(tensor.shape, unit_tensor.shape, strict=True)):
                view = view.narrow(dim, 0, sizes[size]) if size != unit_size else view
            views.append(view.contiguous())
        calls.append(with_tensors(largest, views))
    return calls


def pairs(first: tuple[Any, ...], second: tuple[Any, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Corresponding tensor arguments of two calls."""
    return list(zip(tensors(first), tensors(second), strict=True))


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lists the calls that compile or load a graph in the MAX engine or start a process, such as a compiler."""
    names: list[str] = []

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            names.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapper)

    watch(subprocess.Popen, "__init__")
    engine = pytest.importorskip("max.engine")
    for name in ("load", "load_all", "compile", "init_all"):
        if hasattr(engine.InferenceSession, name):
            watch(engine.InferenceSession, name)
    return names


@bridges
def test_a_thousand_shapes_compile_nothing(spec: OpSpec, route: Route, device: str, compiles: list[str]) -> None:
    call = route.functional(spec)
    for i, args in enumerate(random_shapes(spec, spec.dtypes[0], device, SHAPES)):
        results = call(*args)
        if i % 20 == 0:  # not every result, because the float64 reference takes most of the time
            assert right(spec, args, results) is None, [tuple(t.shape) for t in tensors(args)]
    assert not compiles


@routes_where(lambda route: route.side == "mojo" and not route.jit)
def test_shapes_leave_nothing_in_the_compile_cache(route: Route, device: str, tmp_path: Path) -> None:
    """Compiling would write into the engine's cache folder, through any interface."""
    code = """
    from pathlib import Path
    from shared_tests.test_bridge import random_shapes
    files = lambda: sorted(map(str, Path(os.environ["MODULAR_CACHE_DIR"]).rglob("*")))
    before = files()
    for arguments in random_shapes(spec, spec.dtypes[0], device, 200):
        call(*arguments)
    assert files() == before, set(files()) - set(before)
    """
    child = run_child(code, 120, route.name, "rms_norm", device, {"MODULAR_CACHE_DIR": str(tmp_path)})
    assert child.code == 0, child


def test_a_compile_is_counted(compiles: list[str]) -> None:
    from max.engine import InferenceSession

    with pytest.raises(Exception):  # noqa: B017, PT011 (any: what matters is that the attempt was seen)
        InferenceSession().load("/nowhere.mef")
    assert "load" in compiles


@registered
def test_a_thousand_shapes_are_one_graph_of_dynamo(spec: OpSpec, route: Route, device: str) -> None:
    """torch.compile(dynamic=True) compiles a single graph for all shapes."""
    op, counter = route.overload(spec), CompileCounter()
    torch._dynamo.reset()

    compiled = torch.compile(lambda *args: op(*args), fullgraph=True, dynamic=True, backend=counter)
    # Sizes 0 and 1 are left out, because Dynamo specialises graphs for them, whatever the op.
    calls = [
        a for a in random_shapes(spec, spec.dtypes[0], device, SHAPES) if all(1 not in t.shape for t in tensors(a))
    ]
    for args in calls:
        compiled(*args)
    assert counter.frame_count == 1, f"{counter.frame_count} graphs for {len(calls)} shapes"
