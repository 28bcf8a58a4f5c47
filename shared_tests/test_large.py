"""Tests more than 2^31 elements, whose indices and byte counts do not fit in 32-bit integers."""

from __future__ import annotations

import psutil
import pytest
import torch

from shared_tests.accuracy import expected, mismatch
from shared_tests.conftest import routes_where
from shared_tests.routes import Route, all_routes
from shared_tests.selection import every_combination, in_default_part
from shared_tests.spec import OpSpec, all_specs


def route_in_default_part(spec: OpSpec, route: Route) -> bool:
    """Selects one route for each op in turn, so that every route runs several ops."""
    routes = [r.name for r in all_routes().values() if r.namespace is not None]
    ops = [s.name for s in all_specs().values() if s.large is not None]
    return in_default_part(len(routes), routes.index(route.name), ops.index(spec.name))


@routes_where(lambda route: route.namespace is not None)
def test_beyond_32_bit_indices(spec: OpSpec, route: Route, device: str, request: pytest.FixtureRequest) -> None:
    if spec.large is None:
        pytest.skip("another op of its kind stands for it")
    if not every_combination(request.config) and not route_in_default_part(spec, route):
        pytest.skip("the op runs on another route (--all-combinations: on all)")
    required_bytes = (24 if spec.dtypes == (torch.float32,) else 11) << 30
    available_bytes = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    if available_bytes < required_bytes:
        pytest.skip(f"needs {required_bytes >> 30} GiB of memory, {available_bytes >> 30} GiB are free")
    large, end = spec.large(device)
    results = spec.results(route.call(spec)(*large))
    rows = [r[-e.shape[0] :] for r, e in zip(results, spec.results(spec.yardstick(*end)), strict=True)]
    assert large[0].numel() > 1 << 31
    assert mismatch(spec, expected(spec, end), tuple(rows)) is None
    assert not results[0][:4].any(), "the zero beginning became something else"
