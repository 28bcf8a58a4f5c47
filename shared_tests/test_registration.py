"""Registered ops as PyTorch sees them: schema, opcheck, fake kernels, torch.compile."""

from __future__ import annotations

import importlib

import pytest
import torch

from shared_tests.accuracy import expected, mismatch
from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec

registered = routes_where(lambda route: route.namespace is not None)


@registered
def test_schema_is_the_specs(spec: OpSpec, route: Route) -> None:
    for name, want in (("default", spec.schema), ("out", spec.out_schema)):
        have = str(route.overload(spec, name)._schema)
        suffix = "" if name == "default" else ".out"
        assert have == str(torch._C.parse_schema(f"{route.namespace}::{spec.name}{suffix}{want}"))


@registered
def test_opcheck(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    """schema, autograd registration, fake tensor and dynamic-shape checks of torch.library."""
    for args in (spec.sized(1, dtype, device), spec.sized(2, dtype, device)):
        torch.library.opcheck(route.overload(spec), args)
        outs = dict(zip(spec.out_names, spec.empty_outputs(*args), strict=True))
        torch.library.opcheck(route.overload(spec, "out"), args, outs)


@registered
def test_fake_result_is_the_real_one(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    for sample in spec.samples(dtype, device):
        real = spec.results(route.overload(spec)(*sample.args))
        meta = spec.results(
            route.overload(spec)(*[a.to("meta") if isinstance(a, torch.Tensor) else a for a in sample.args])
        )
        for r, m in zip(real, meta, strict=True):
            assert (r.shape, r.dtype, r.stride()) == (m.shape, m.dtype, m.stride()), sample.id


@registered
def test_compiles_without_graph_break_for_dynamic_shapes(spec: OpSpec, route: Route, device: str) -> None:
    """One graph, no break, and no new compile for a second and a third size."""
    op = route.overload(spec)
    torch._dynamo.reset()
    compiles = 0

    def count(graph, _inputs):
        nonlocal compiles
        compiles += 1
        return graph

    function = torch.compile(lambda *args: op(*args), fullgraph=True, dynamic=True, backend=count)
    for n in (2, 3, 5):
        args = spec.sized(n, spec.dtypes[0], device)
        assert mismatch(spec, expected(spec, args), function(*args)) is None
    assert compiles == 1


@registered
def test_inductor_runs_functional_and_in_place_forms(spec: OpSpec, route: Route, device: str) -> None:
    """Through Inductor, with work before and after the op that the compiler may fuse or reuse buffers for."""
    torch._dynamo.reset()
    op, op_out = route.overload(spec), route.out(spec)
    assert op_out is not None
    args = spec.sized(2, spec.dtypes[0], device)

    def functional(*args):
        return [r + 1 for r in spec.results(op(*args))]

    def in_place(*args):
        outs = [torch.zeros_like(r) for r in spec.results(op(*args))]
        op_out(*args, *outs)
        return [o + 1 for o in outs]

    want = [r + 1 for r in spec.results(op(*args))]
    for function in (functional, in_place):
        got = torch.compile(function, fullgraph=True)(*args)
        for g, w in zip(got, want, strict=True):
            assert torch.equal(g, w), function.__name__


@pytest.mark.parametrize("side", ["cpp_ext", "mojo_ops"])
def test_typed_function_is_the_registered_op(spec: OpSpec, side: str, device: str) -> None:
    package = importlib.import_module(side)
    args = spec.sized(2, spec.dtypes[0], device)
    function = getattr(package, spec.name)
    assert function.__doc__
    assert "Raises" in function.__doc__
    want = spec.results(getattr(getattr(torch.ops, side), spec.name)(*args))
    for g, w in zip(spec.results(function(*args)), want, strict=True):
        assert torch.equal(g, w)
