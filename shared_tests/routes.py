"""Routes: the ways to call a kernel on a `torch.Tensor`. Each is a column of the reports and runs the same specs."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

from shared_tests import route_table
from shared_tests.route_facts import RouteFacts
from shared_tests.spec import OpSpec

Call = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Route(RouteFacts):
    """One way to call an op: its record (`route_table.py`) and the code that calls it.

    Attributes:
        call: returns the callable with the op's signature, the package's typed function where it has one.
        into: returns the callable that takes the op's arguments and then existing outputs, or None if there is none.
    """

    call: Callable[[OpSpec], Call]
    into: Callable[[OpSpec], Call | None] = lambda spec: None

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
        return spec.no_max_graph if self.some_ops else None

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


_CALLS: dict[str, dict[str, Any]] = {
    "eager": {"call": lambda spec: spec.eager, "into": _eager_out},
    "compile": {"call": _compiled},
    "cpp_pybind": {"call": _pybind},
}
"""Routes that are called in another way than by their package's typed functions and its registered `out` overloads."""


def _route(facts: RouteFacts) -> Route:
    calls = _CALLS.get(facts.name)
    if calls is None:
        if facts.package is None:
            raise ValueError(f"route {facts.name!r} has neither a package nor an entry in _CALLS that calls it")
        calls = {"call": functools.partial(_module, facts.package)}
        if facts.namespace is not None:
            calls["into"] = functools.partial(_registered_out, facts.package, facts.namespace)
    record = {field.name: getattr(facts, field.name) for field in fields(facts)}
    return Route(**record, **calls)


@functools.cache
def _routes(table: tuple[RouteFacts, ...]) -> tuple[Route, ...]:
    return tuple(_route(facts) for facts in table)


def all_routes() -> dict[str, Route]:
    """Every route by name, in the order of the reports."""
    return {route.name: route for route in _routes(route_table.ROUTES)}
