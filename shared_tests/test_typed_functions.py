"""The packages' typed functions are C callables that call the operator, but must behave like Python functions."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
import torch

from shared_tests.spec import OpSpec


@pytest.fixture(params=["cpp_ext", "cpp_ext.classic", "mojo_ops", "mojo_ops.aot"])
def package(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, exc_type=ImportError)


def registered(package: Any, spec: OpSpec) -> Any:
    namespace = {"cpp_ext.classic": "cpp_classic", "mojo_ops.aot": "mojo_aot"}.get(package.__name__, package.__name__)
    return getattr(getattr(torch.ops, namespace), spec.name).default


def test_is_documented_and_pickled_as_a_function(spec: OpSpec, package: Any) -> None:
    function = getattr(package, spec.name)
    assert list(inspect.signature(function).parameters) == [a.name for a in spec.parsed.arguments]
    assert function.__name__ == spec.name
    assert pickle.loads(pickle.dumps(function)) is function


def test_positional_and_keyword_arguments(spec: OpSpec, package: Any, device: str) -> None:
    function = getattr(package, spec.name)
    args = spec.sized(2, spec.dtypes[0], device)
    names = [a.name for a in spec.parsed.arguments]
    named = spec.functional(lambda *args: function(**dict(zip(names, args, strict=False))))
    for result, expected_result in zip(
        spec.results(named(*args)), spec.results(spec.functional(function)(*args)), strict=True
    ):
        assert torch.equal(result, expected_result)


def test_dynamo_and_export_see_the_operator(spec: OpSpec, package: Any, device: str) -> None:
    """The compiled graph contains the registered overload and has no graph break."""
    function = getattr(package, spec.name)
    args = spec.sized(2, spec.dtypes[0], device)
    targets: list[object] = []

    def record(graph, _inputs):
        targets.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    torch._dynamo.reset()
    compiled = spec.functional(torch.compile(lambda *a: function(*a), fullgraph=True, backend=record))
    actual = compiled(*args)
    assert registered(package, spec) in targets
    for result, expected_result in zip(
        spec.results(actual), spec.results(spec.functional(function)(*args)), strict=True
    ):
        assert torch.equal(result, expected_result)

    class Module(torch.nn.Module):
        def forward(self, *args):
            return function(*args)

    program = torch.export.export(Module(), args, strict=True)
    assert registered(package, spec) in [n.target for n in program.graph.nodes]


def test_sees_modes_and_subclasses(spec: OpSpec, package: Any, device: str) -> None:
    """A `__torch_function__` mode sees the call, as with any other operator."""
    functions = []

    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            functions.append(function)
            return function(*args, **(kwargs or {}))

    args = spec.sized(2, spec.dtypes[0], device)
    with Mode():
        getattr(package, spec.name)(*args)
    assert registered(package, spec) in functions
