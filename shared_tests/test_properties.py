"""Hypothesis over shapes, layouts, dtypes and values: every built route against the reference, on the same examples.

The examples of an op are the same in every run: 100, or 300 with `--all-combinations`. `nox -s fuzz` draws 10,000 new
ones an op.
"""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_tests.accuracy import expected, mismatch
from shared_tests.conftest import parse_selection
from shared_tests.drawn import Draw
from shared_tests.routes import all_routes
from shared_tests.selection import every_combination
from shared_tests.spec import OpSpec
from shared_tests.test_correctness import STALE, assert_unchanged, snapshot

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def test_drawn_calls(spec: OpSpec, device: str, request: pytest.FixtureRequest) -> None:
    routes = [
        r
        for r in parse_selection(request.config, "--routes", all_routes())
        if r.ours and not r.jit and device in r.devices and not r.unavailable()
    ]
    if not routes:
        pytest.skip("no route of ours among the chosen ones")
    assert spec.drawn is not None, f"shared_tests/ops/{spec.name}.py: SPEC.drawn is missing"
    draw_arguments = spec.drawn
    calls = [(r.name, r.functional(spec), r.out(spec)) for r in routes]

    @settings(
        max_examples=EXAMPLES or (300 if every_combination(request.config) else 100),
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data(), st.sampled_from(spec.dtypes))
    def run(data: st.DataObject, dtype) -> None:
        args = draw_arguments(Draw(data, dtype, device))
        reference = expected(spec, args)
        originals, eager = snapshot(args), reference.eager
        for name, call, out in calls:
            assert not (message := mismatch(spec, reference, call(*args))), f"{name}: {message}"
            if out is not None:
                outputs = [torch.full(e.shape, STALE.get(e.dtype, 31337), dtype=e.dtype, device=device) for e in eager]
                out(*args, *outputs)
                assert not (message := mismatch(spec, reference, outputs)), f"{name}.out: {message}"
            assert_unchanged(originals, args)

    run()
