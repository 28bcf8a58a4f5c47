"""pytest-benchmark over every route, op and realistic size: `pytest shared_tests/bench_ops.py --benchmark-only`.

For one route's own history. Comparisons between routes need interleaving, which `nox -s compare` does.
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
        pytest.skip("compiles at run time: compare measures it apart")
    if sample_index >= len(spec.bench_samples):
        pytest.skip("no such sample")
    sample = spec.bench_samples[sample_index]
    if sample.in_turn:
        pytest.skip("each call takes other arguments: compare's business")
    args = sample.make(dtype, device)
    call = route.functional(spec) if mode == "call" else route.out(spec)
    if mode == "kernel":
        if call is None:
            pytest.skip("no form that writes into ready outputs")
        args = (*args, *spec.empty_outputs(*args))
    benchmark.extra_info.update(op=spec.name, route=route.name, dtype=str(dtype), sample=sample.id, mode=mode)
    benchmark.pedantic(call, args, warmup_rounds=2, rounds=5, iterations=1 if sample.elements > 1 << 20 else 50)
