"""Routes: the ways to call a kernel on a `torch.Tensor`. Each is a column of the reports and runs the same specs."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from shared_tests.spec import OpSpec

Call = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    """One way to call an op.

    name: the route's name in reports and on the command line.
    side: `pytorch`, `cpp` or `mojo`.
    what: one sentence for readers of a report.
    call: returns the callable with the op's signature, the package's typed function where it has one.
    into: returns the callable that takes the op's arguments and then existing outputs, or None if there is none.
    package: the package that must be importable (that is, built) for the route.
    jit: whether it compiles at the first call of every shape; tests then run only a few samples.
    documented: whether the side's own documentation (for C++: the talk) shows this way.
    ours: whether the ops' contract (argument checks, contiguous results) applies; it does not to PyTorch's own routes.
    namespace: its namespace in PyTorch's dispatcher, or None if it is not registered.
    devices: device types it runs on.
    """

    name: str
    side: str
    what: str
    call: Callable[[OpSpec], Call]
    into: Callable[[OpSpec], Call | None] = lambda spec: None
    package: str | None = None
    jit: bool = False
    documented: bool = False
    ours: bool = True
    namespace: str | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")

    def functional(self, spec: OpSpec) -> Call:
        """The op as a function that changes none of its arguments."""
        return spec.functional(self.call(spec))

    def out(self, spec: OpSpec) -> Call | None:
        """The op's form that writes into existing outputs, passed after the arguments, or None.

        For an op that writes its arguments, the outputs are passed instead of them, after copying their values.
        """
        if not spec.mutates:
            return self.into(spec)
        call, count = self.call(spec), len(spec.mutates)

        def out(*args: Any) -> None:
            replaced = list(args[:-count])
            for i, output in zip(spec.mutates, args[-count:], strict=True):
                replaced[i] = output.copy_(replaced[i])
            call(*replaced)

        return out

    def overload(self, spec: OpSpec, name: str = "default") -> Any:
        """The OpOverload `name` of an op on a route that is registered with the dispatcher.

        Raises:
            ValueError: the route is not registered.
        """
        if self.namespace is None or self.package is None:
            raise ValueError(f"route {self.name} is not registered with PyTorch's dispatcher")
        return _overload(self.package, self.namespace, spec, name)

    def lacks(self, spec: OpSpec) -> str | None:
        """Why the route does not have an op, or None if it has it."""
        return spec.no_max_graph if self.name == "max_graph" else None

    def unavailable(self) -> str | None:
        """Why the route cannot be called here, in one line, or None if it can."""
        if self.package is None:
            return None
        try:
            importlib.import_module(self.package)
        except Exception as error:  # a broken build can raise anything
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return None


def _eager_out(spec: OpSpec) -> Call | None:
    return spec.eager_out


def _compiled(spec: OpSpec) -> Call:
    # All shapes of an op share one cache. dynamic=False is Inductor's best case: code for exactly this shape.
    torch._dynamo.config.cache_size_limit = 256
    return torch.compile(spec.eager, fullgraph=True, dynamic=False)


def _overload(package: str, namespace: str, spec: OpSpec, name: str = "default") -> Any:
    importlib.import_module(package)
    return getattr(getattr(getattr(torch.ops, namespace), spec.name), name)


def _registered_out(package: str, namespace: str, spec: OpSpec) -> Call:
    overload = _overload(package, namespace, spec, "out")
    names = spec.out_names
    if len(names) == 1:
        name = names[0]
        return lambda *args: overload(*args[:-1], **{name: args[-1]})
    count = len(names)
    return lambda *args: overload(*args[:-count], **dict(zip(names, args[-count:], strict=True)))


def _module(module: str, spec: OpSpec) -> Call:
    return getattr(importlib.import_module(module), spec.name)


def _pybind(spec: OpSpec) -> Call:
    return getattr(importlib.import_module("cpp_ext").pybind, spec.name)


def _registered(name: str, side: str, what: str, package: str, namespace: str, **options: Any) -> Route:
    """A route whose package registers its ops with the dispatcher and has a typed function for each."""
    out_call = functools.partial(_registered_out, package, namespace)
    call = functools.partial(_module, package)
    return Route(name, side, what, call, out_call, package=package, namespace=namespace, **options)


_ROUTES = (
    Route(
        "eager",
        "pytorch",
        "what a PyTorch user writes, with the fused ATen op where one exists",
        lambda spec: spec.eager,
        _eager_out,
        ours=False,
    ),
    Route(
        "compile",
        "pytorch",
        "torch.compile of eager, one compile a shape (dynamic=False)",
        _compiled,
        jit=True,
        ours=False,
    ),
    _registered(
        "cpp",
        "cpp",
        "C++/CUDA kernel behind TORCH_LIBRARY in PyTorch's stable ABI",
        "cpp_ext",
        "cpp_ext",
    ),
    Route(
        "cpp_pybind",
        "cpp",
        "the same kernel as a plain pybind11 function, without the dispatcher",
        _pybind,
        package="cpp_ext",
        devices=("cpu",),
    ),
    _registered(
        "cpp_classic",
        "cpp",
        "the same kernel behind torch/extension.h, pybind11 and TORCH_LIBRARY, as the talk shows it",
        "cpp_ext.classic",
        "cpp_classic",
        documented=True,
    ),
    _registered(
        "mojo",
        "mojo",
        "Mojo kernel compiled by MAX ahead of time and run by its engine, called straight from PyTorch's dispatcher",
        "mojo_ops",
        "mojo_ops",
    ),
    _registered(
        "mojo_aot",
        "mojo",
        "the same Mojo kernel in a shared library from mojo build, behind PyTorch's stable C ABI: no MAX at run time",
        "mojo_ops.aot",
        "mojo_aot",
        devices=("cpu",),
    ),
    Route(
        "mojo_stock",
        "mojo",
        "the same Mojo kernel through MAX's CustomOpLibrary, as its documentation shows it",
        functools.partial(_module, "mojo_ops.stock"),
        package="mojo_ops.stock",
        jit=True,
        documented=True,
    ),
    Route(
        "max_graph",
        "mojo",
        "MAX's own graph ops through graph_op, no kernel written",
        functools.partial(_module, "mojo_ops.max_graph"),
        package="mojo_ops.max_graph",
        jit=True,
    ),
)


def all_routes() -> dict[str, Route]:
    """Every route by name, in the order of the reports."""
    return {route.name: route for route in _ROUTES}
