"""Bad calls raise a Python exception that names the argument, its value and what was expected, on every such route."""

from __future__ import annotations

import pytest
import torch

from shared_tests.conftest import left_to_compare, routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec


def message_of(error: BaseException) -> str:
    return " ".join(str(error).split())


@routes_where(lambda route: route.ours)
def test_bad_call_raises(spec: OpSpec, route: Route, device: str) -> None:
    call = route.call(spec)
    failures = []
    for sample in spec.error_samples(device):
        try:
            call(*sample.args)
        except sample.exceptions as error:
            missing = [w for w in sample.message_parts if w.lower() not in message_of(error).lower()]
            if missing:
                failures.append(f"{sample.id}: {missing} not in {message_of(error)[:300]!r}")
        else:
            failures.append(f"{sample.id}: no exception")
    assert not failures, "; ".join(failures)


@routes_where(lambda route: route.ours)
def test_wrong_number_of_arguments(spec: OpSpec, route: Route, device: str) -> None:
    args = next(iter(spec.samples(spec.dtypes[0], device))).args
    with pytest.raises((TypeError, RuntimeError)):
        route.call(spec)(*args, *args)


@routes_where(lambda route: route.namespace is not None)
def test_bad_out_raises(spec: OpSpec, route: Route, device: str) -> None:
    """An error names an output whose shape, dtype, layout or device is wrong."""
    call = route.out(spec)
    assert call is not None
    if spec.mutates:
        pytest.skip("an op that writes its arguments has no other outputs")
    sample = next(s for s in spec.samples(spec.dtypes[0], device) if s.id in spec.jit_samples)
    name = spec.out_names[0]
    outputs = spec.empty_outputs(*sample.args)
    wrong_outputs = {
        "shape": outputs[0].new_empty((*outputs[0].shape[:-1], outputs[0].shape[-1] + 1)),
        "dtype": torch.empty_like(outputs[0], dtype=torch.float64),
        "contiguous": outputs[0].new_empty((*outputs[0].shape, 2))[..., 0],
        "device": torch.empty_like(outputs[0], device="meta"),
    }
    for property_name, out in wrong_outputs.items():
        message_part = {"device": "meta"}.get(property_name, property_name)
        with pytest.raises((ValueError, RuntimeError, TypeError), match=rf"(?s){name}.*{message_part}"):
            call(*sample.args, out, *outputs[1:])


@routes_where(lambda route: route.ours)
def test_still_works_after_an_error(spec: OpSpec, route: Route, device: str, request: pytest.FixtureRequest) -> None:
    if left_to_compare(spec, route, request.config):
        pytest.skip("JIT route: few ops stand for all")
    call = route.functional(spec)
    error_sample = next(iter(spec.error_samples(device)))
    sample = next(s for s in spec.samples(spec.dtypes[0], device) if s.id in spec.jit_samples)
    with pytest.raises(error_sample.exceptions):
        route.call(spec)(*error_sample.args)
    for r in spec.results(call(*sample.args)):
        assert r.numel()
