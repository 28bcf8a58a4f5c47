"""The waterfall, in the measuring process: builds every call that a part of it needs, and times them interleaved."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch

from evidence.core.sampling import Budget, Call, Visit, alternate, plan_visit, settle, singles
from evidence.sections.dispatch.calls import compiled
from evidence.sections.dispatch.noop import NAMESPACES
from evidence.sections.dispatch.waterfall_parts import BIG, GAPS_US, SMALL
from shared_tests.routes import Route, all_routes
from shared_tests.spec import all_specs

ROUTES, ENGINE = "routes", "engine"  # the halves, each in a process of its own
GAP_SINGLES = 10


class Bench:
    """Calls by name; a call that cannot be made here is left out, with its reason."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.refused: dict[str, str] = {}

    def add(self, name: str, make: Callable[[], Call]) -> None:
        """Make a call and run it twice; whatever that raises is the reason why its parts are missing."""
        try:
            call = make()
            call()
            call()
        except Exception as error:
            self.refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            self.calls[name] = call


def bench(case: dict[str, Any]) -> Bench:
    """Every call of one half of the waterfall that can be made here.

    The half `routes` holds the routes that this repository brings into the dispatcher, `engine` what needs a session of
    MAX's Python API: in one process their worker threads would take cores from each other.
    """
    bench = Bench()
    a, b = torch.randn(SMALL), torch.randn(SMALL)
    big = tuple(torch.randn(BIG) for _ in range(2))
    spec = all_specs()[case["op"]]
    for name in case["routes"]:
        if (name == "mojo_stock") == (case["half"] == ENGINE):
            _add_route(bench, name, spec, (a, b), big)
    for abi, library in case["libraries"].items():
        torch.ops.load_library(library)
        ops = getattr(torch.ops, NAMESPACES[abi])
        if abi == "stable":
            torch.library.register_fake(f"{NAMESPACES[abi]}::nothing", lambda x, y: torch.empty_like(x))
        _add_ops(bench, abi, ops.nothing.default, ops.allocate.default, a, b)
    if "call:mojo" in bench.calls:
        from mojo_ops import engine

        bench.add("engine:bare", engine.hand_over)
    if case["half"] == ENGINE:
        _add_python(bench, a, b)
        _add_engine(bench, a, b)
        if "call:mojo_stock" in bench.calls:
            try:
                _add_stock(bench, torch.empty_like(a), a, b)
            except Exception as error:  # it looks into MAX's own modules, which may change
                reason = f"{type(error).__name__}: {error}"
                bench.refused |= dict.fromkeys(("stock:context", "stock:lookup", "stock:execute"), reason)
    return bench


def _add_route(bench: Bench, name: str, spec: Any, small: tuple, big: tuple) -> None:
    route = all_routes()[name]

    def functional(args: tuple) -> Callable[[], Call]:
        return lambda: _bound(route.functional(spec), args)

    def out(args: tuple) -> Callable[[], Call]:
        return lambda: _bound(_required(route.out(spec)), (*args, torch.empty_like(args[0])))

    bench.add(f"call:{name}", functional(small))
    _add_forms(bench, route, spec, small)
    if route.jit or route.side == "pytorch":
        return
    bench.add(f"zero:{name}", functional((small[0][:0].clone(), small[1][:0].clone())))
    bench.add(f"out:{name}", out(small))
    bench.add(f"out:big:{name}", out(big))
    if route.namespace:
        bench.add(f"compiled:{name}", lambda: _bound(compiled(route.functional(spec)), small))


def _add_forms(bench: Bench, route: Route, spec: Any, small: tuple) -> None:
    """The forms of a registered op beside the typed function, and of eager PyTorch where a gradient is recorded."""
    recorded = (small[0].clone().requires_grad_(), *small[1:])
    if route.name == "eager":
        bench.add("recorded:eager", lambda: _bound(route.functional(spec), recorded))
    if route.namespace:
        packet = route.overload(spec)._overloadpacket
        bench.add(f"formula:{route.name}", lambda: _bound(packet, small))
        bench.add(f"no_grad:{route.name}", lambda: _bound(packet.no_grad, small))
        bench.add(f"recorded:{route.name}", lambda: _bound(packet, recorded))


def _bound(call: Callable[..., Any], args: tuple) -> Call:
    first, second, *rest = args
    if not rest:
        return lambda: call(first, second)
    third = rest[0]
    return lambda: call(first, second, third)


def _required(call: Any) -> Callable[..., Any]:
    if call is None:
        raise LookupError("the route has no form that writes into ready outputs")
    return call


def _add_ops(bench: Bench, name: str, nothing: Any, allocate: Any, a: torch.Tensor, b: torch.Tensor) -> None:
    a0, b0 = a[:0].clone(), b[:0].clone()
    # by the function in C under the OpOverload's Python method, as the typed functions of the routes call theirs
    bare, allocated = nothing._op, allocate._op
    bench.add(f"nothing:{name}", lambda: lambda: bare(a, b))
    bench.add(f"allocate:{name}", lambda: lambda: allocated(a, b))
    bench.add(f"allocate:zero:{name}", lambda: lambda: allocated(a0, b0))
    if name == "stable":
        bench.add("compiled:nothing:stable", lambda: _bound(compiled(nothing), (a, b)))


_library = torch.library.Library("evidence_lab_python", "DEF")


def python_op(name: str, function: Callable[..., torch.Tensor]) -> Any:
    """An op `(Tensor a, Tensor b) -> Tensor` registered from Python as route mojo's are; its fake gives one like a."""
    _library.define(f"{name}(Tensor a, Tensor b) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, function, "CPU")
    torch.library.register_fake(f"evidence_lab_python::{name}", lambda x, y: torch.empty_like(x), lib=_library)
    return getattr(torch.ops.evidence_lab_python, name).default


def _add_python(bench: Bench, a: torch.Tensor, b: torch.Tensor) -> None:
    def bare() -> None:
        return None

    bench.add("python:bare", lambda: bare)
    kept = torch.empty_like(a)
    nothing = python_op("nothing", lambda x, y: kept)
    bench.add("nothing:python", lambda: lambda: nothing(a, b))
    bench.add("compiled:nothing:python", lambda: _bound(compiled(nothing), (a, b)))

    def custom() -> Call:
        @torch.library.custom_op("evidence_lab_python::custom", mutates_args=("out",))
        def op(out: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> None:
            return None

        out = torch.empty_like(a)
        return lambda: op(out, a, b)

    bench.add("nothing:custom_op", custom)


def _add_engine(bench: Bench, a: torch.Tensor, b: torch.Tensor) -> None:
    """The engine's floor: a graph of MAX's own ops that adds into a ready buffer; it compiles in 4 to 25 s."""
    try:
        from max.driver import CPU, Buffer
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import BufferType, DeviceRef, Graph, TensorType, ops

        host = DeviceRef.CPU()
        types: list[Any] = [BufferType(DType.float32, [SMALL], host)]
        types += [TensorType(DType.float32, [SMALL], host)] * 2
        with Graph("evidence_lab_floor", input_types=types) as graph:
            ops.buffer_store(graph.inputs[0].buffer, graph.inputs[1].tensor + graph.inputs[2].tensor)
            graph.output()
        model = InferenceSession(devices=[CPU()]).load(graph)
        y = torch.empty_like(a)
        buffers = [Buffer.from_dlpack(t) for t in (y, a, b)]
        model._execute_device_tensors(buffers)
        if not torch.equal(y, a + b):
            raise ArithmeticError("the engine's sum is wrong")
    except Exception as error:  # MAX is not there, or has changed
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        bench.refused |= dict.fromkeys(("engine:device", "engine:op", "compiled:engine:op"), reason)
        return

    def run(_: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        model._execute_device_tensors(buffers)
        return y

    bench.add("engine:device", lambda: lambda: model._execute_device_tensors(buffers))
    op = python_op("engine", run)
    bench.add("engine:op", lambda: lambda: op(a, b))
    bench.add("compiled:engine:op", lambda: _bound(compiled(op), (a, b)))
    bench.add(
        "python:stock_buffers",
        lambda: lambda: (Buffer.from_dlpack(y), Buffer.from_dlpack(a), Buffer.from_dlpack(b)),
    )


def _add_stock(bench: Bench, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Pieces of CustomOpLibrary's own call, taken from the closure of the function that it registers."""
    from max._mlir_context import call_with_default_mlir_context
    from max.driver import Buffer

    from mojo_ops import stock

    bench.add("python:stock_empty", lambda: lambda: torch.ops.mojo_outputs.add(a, b))
    inner = stock._library.mojo_ops_add_dps._custom_op_def._init_fn
    closed = dict(zip(inner.__code__.co_freevars, inner.__closure__, strict=True))
    lookup = closed["compiled_model"].cell_contents
    model = lookup((y, a, b))
    buffers = [Buffer.from_dlpack(t) for t in (y, a, b)]
    bench.add("stock:context", lambda: lambda: call_with_default_mlir_context(int))
    bench.add("stock:lookup", lambda: lambda: lookup((y, a, b)))
    bench.add("stock:execute", lambda: lambda: model.execute(*buffers))


def busy(microseconds: float) -> Call:
    """Keeps the core busy for so long, as Python between two calls does."""

    def work() -> None:
        end = time.perf_counter_ns() + microseconds * 1000
        while time.perf_counter_ns() < end:
            pass

    return work


def measure(bench: Bench, budget: Budget) -> dict[str, list[float]]:
    """Microseconds of every call of the bench, and of the engine or one op after busy gaps, one value a round."""
    visits: dict[str, Callable[[], float]] = {}
    for name, call in bench.calls.items():
        visits[name] = functools.partial(_hot, plan_visit(call), call)
    for route, name in (("mojo", "engine:device"), ("cpp", "call:cpp")):
        if name in bench.calls:
            for gap in GAPS_US:
                visits[f"gap:{route}:{gap}"] = _after(bench.calls[name], busy(gap))
    return alternate(visits, budget)


def _hot(visit: Visit, call: Call) -> float:
    return visit.time(call, lambda: None) / visit.calls / 1000


def _after(call: Call, before: Call) -> Callable[[], float]:
    def once() -> float:
        settle()
        call()
        return singles(call, GAP_SINGLES, before)

    return once
