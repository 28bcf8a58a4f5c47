"""The combinations that the suite chooses hold every sample, route and dtype, and every pair of them."""

from __future__ import annotations

import itertools

import torch

from shared_tests.routes import all_routes
from shared_tests.selection import FORMS, dtype_in_default_part, is_large, samples_in_default_part
from shared_tests.spec import OpSpec

AHEAD_OF_TIME = [route for route in all_routes().values() if not route.jit]


def test_every_pair_of_sample_route_and_dtype_is_kept(spec: OpSpec) -> None:
    samples = {dtype: list(spec.samples(dtype, "cpu")) for dtype in spec.dtypes}
    in_every_dtype = set.intersection(*({sample.id for sample in of_dtype} for of_dtype in samples.values()))
    small_ids = {sample.id for of_dtype in samples.values() for sample in of_dtype if not is_large(sample)}
    for form in FORMS:
        selected = {
            (sample.id, route.name, dtype)
            for route, dtype in itertools.product(AHEAD_OF_TIME, spec.dtypes)
            for sample in samples_in_default_part(spec, dtype, route, form, samples[dtype])
            if sample.id in in_every_dtype
        }
        routes = [route.name for route in AHEAD_OF_TIME]
        assert {(sample, route) for sample, route, _ in selected} == set(itertools.product(in_every_dtype, routes))
        with_dtype = {(sample, dtype) for sample, _, dtype in selected}
        assert with_dtype >= set(itertools.product(in_every_dtype & small_ids, spec.dtypes))
        assert {(route, dtype) for _, route, dtype in selected} == set(itertools.product(routes, spec.dtypes))


def test_most_combinations_of_an_op_with_several_dtypes_are_left_out() -> None:
    """A third of them is kept, and the usual sample of each route and dtype."""
    from shared_tests.ops.softmax import SPEC

    samples = list(SPEC.samples(torch.float32, "cpu"))
    selected_count = sum(
        len(samples_in_default_part(SPEC, dtype, route, "call", samples))
        for route, dtype in itertools.product(AHEAD_OF_TIME, SPEC.dtypes)
    )
    combinations = len(AHEAD_OF_TIME) * len(SPEC.dtypes)
    assert selected_count <= len(samples) * combinations / len(SPEC.dtypes) + len(SPEC.jit_samples) * combinations


def test_every_route_and_every_dtype_is_kept(spec: OpSpec) -> None:
    """Where one dtype stands for the others on a route."""
    selected = [
        (route.name, dtype)
        for route, dtype in itertools.product(AHEAD_OF_TIME, spec.dtypes)
        if dtype_in_default_part(spec, dtype, route)
    ]
    assert sorted(route for route, _ in selected) == sorted(route.name for route in AHEAD_OF_TIME)
    assert {dtype for _, dtype in selected} == set(spec.dtypes)
