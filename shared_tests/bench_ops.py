"""pytest-benchmark over every route, op and realistic size: `pytest shared_tests/bench_ops.py --benchmark-only`.

Use it to follow one route over time. To compare routes, use `nox -s compare`, which interleaves their calls.
"""

from __future__ import annotations

import pytest
import torch

from shared_tests.routes import Route
from shared_tests.spec import OpSpec, all_specs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sample_index" in metafunc.fixturenames:
        metafunc.parametrize("sample_index", range(max(len(s.bench_samples) for s in all_specs().values())))


@pytest.mark.parametrize("mode", ["call", "kernel"])
def test_speed(benchmark, spec: OpSpec, dtype: torch.dtype, route: Route, sample_index: int, mode: str, device: str):
    if route.jit:
        pytest.skip("the route compiles at run time; `nox -s compare` measures it separately")
    if sample_index >= len(spec.bench_samples):
        pytest.skip("the op has fewer samples")
    sample = spec.bench_samples[sample_index]
    if sample.in_turn:
        pytest.skip("each call needs other arguments; only `nox -s compare` does this")
    args = sample.make(dtype, device)
    call = route.functional(spec) if mode == "call" else route.out(spec)
    if mode == "kernel":
        if call is None:
            pytest.skip("the route has no form that writes into existing outputs")
        args = (*args, *spec.empty_outputs(*args))
    benchmark.extra_info.update(op=spec.name, route=route.name, dtype=str(dtype), sample=sample.id, mode=mode)
    benchmark.pedantic(call, args, warmup_rounds=2, rounds=5, iterations=1 if sample.elements > 1 << 20 else 50)
