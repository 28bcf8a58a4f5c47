"""Registered ops as PyTorch sees them: schema, opcheck, fake kernels. test_compile.py has torch.compile and export."""

from __future__ import annotations

import importlib

import pytest
import torch

from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.selection import dtype_in_default_part, every_combination, samples_in_default_part
from shared_tests.spec import OpSpec

registered = routes_where(lambda route: route.namespace is not None)
QUICK_CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


@registered
def test_schema_is_the_specs(spec: OpSpec, route: Route) -> None:
    for name, schema in (("default", spec.schema), ("no_grad", spec.schema), ("out", spec.out_schema)):
        if schema is None or (name == "no_grad" and (spec.mutates or not spec.dtypes[0].is_floating_point)):
            continue
        actual = str(route.overload(spec, name)._schema)
        suffix = "" if name == "default" else f".{name}"
        assert actual == str(torch._C.parse_schema(f"{route.namespace}::{spec.name}{suffix}{schema}"))


@registered
def test_opcheck(spec: OpSpec, dtype: torch.dtype, route: Route, device: str, request: pytest.FixtureRequest) -> None:
    """The checks of torch.library.opcheck: schema, autograd registration, fake tensors, and AOTAutograd.

    The last takes 95 % of the time. It runs for one dtype and size of each op and route, and for all of them with
    `--all-combinations`.
    """
    all_combinations = every_combination(request.config)
    for n in (1, 2):
        compiles = all_combinations or (n == 2 and dtype_in_default_part(spec, dtype, route))
        checks = (*QUICK_CHECKS, "test_aot_dispatch_dynamic") if compiles else QUICK_CHECKS
        args = spec.sized(n, dtype, device)
        torch.library.opcheck(route.overload(spec), args, test_utils=checks)
        if not spec.mutates:
            outputs = dict(zip(spec.out_names, spec.empty_outputs(*args), strict=True))
            torch.library.opcheck(route.overload(spec, "out"), args, outputs, test_utils=checks)


@registered
def test_fake_result_is_the_real_one(
    spec: OpSpec, dtype: torch.dtype, route: Route, device: str, request: pytest.FixtureRequest
) -> None:
    samples = list(spec.samples(dtype, device))
    if not every_combination(request.config):
        samples = samples_in_default_part(spec, dtype, route, "call", samples)
    for sample in samples:
        call = spec.functional(route.overload(spec))
        results = spec.results(call(*sample.args))
        meta = spec.results(call(*[a.to("meta") if isinstance(a, torch.Tensor) else a for a in sample.args]))
        for result, meta_result in zip(results, meta, strict=True):
            assert (result.shape, result.dtype, result.stride()) == (
                meta_result.shape,
                meta_result.dtype,
                meta_result.stride(),
            ), sample.id


@pytest.mark.parametrize("side", ["cpp_ext", "mojo_ops"])
def test_typed_function_is_the_registered_op(spec: OpSpec, side: str, device: str) -> None:
    package = importlib.import_module(side)
    args = spec.sized(2, spec.dtypes[0], device)
    function = getattr(package, spec.name)
    assert function.__doc__
    assert "Raises" in function.__doc__
    expected = spec.results(spec.functional(getattr(getattr(torch.ops, side), spec.name))(*args))
    for result, expected_result in zip(spec.results(spec.functional(function)(*args)), expected, strict=True):
        assert torch.equal(result, expected_result)
