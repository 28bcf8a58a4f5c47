"""Compares every route, op and dtype with the spec, as a function and writing into existing outputs.

`--all-combinations` runs every sample; otherwise `selection.py` selects samples for each route and dtype.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
import torch

from shared_tests.accuracy import Expected, expected, mismatch
from shared_tests.conftest import left_to_compare, routes_where
from shared_tests.routes import Route
from shared_tests.selection import FORMS, every_combination, samples_in_default_part
from shared_tests.spec import OpSpec, Sample, all_specs

STALE = {torch.uint8: 173}


@dataclass(frozen=True)
class Case:
    """A sample and its expected results, which are computed once, when the first route needs them."""

    spec: OpSpec
    sample: Sample

    @functools.cached_property
    def expected(self) -> Expected:
        return expected(self.spec, self.sample.args)


@functools.lru_cache(maxsize=1)
def cases_by_id(name: str, dtype: torch.dtype, device: str) -> dict[str, Case]:
    """The samples of an op by id, cached for consecutive tests of the same op and dtype."""
    spec = all_specs()[name]
    return {sample.id: Case(spec, sample) for sample in spec.samples(dtype, device)}


def samples_for(
    spec: OpSpec, route: Route, dtype: torch.dtype, form: str, device: str, config: pytest.Config
) -> list[Case]:
    """The samples that a route is tested on; few for a JIT route, which compiles half a minute for every new shape."""
    all_combinations = every_combination(config)
    samples = cases_by_id(spec.name, dtype, device)
    jit_cases = [case for id, case in samples.items() if id in spec.jit_samples]
    if route.jit and not config.getoption("--all-jit-samples"):
        # One dtype and a few ops represent the others, whose kernels route mojo also runs. `nox -s compare` checks the
        # JIT routes of every op on the samples that it times.
        if dtype is not spec.dtypes[0] or left_to_compare(spec, route, config):
            return []
        return jit_cases if all_combinations else jit_cases[:1]
    if config.getoption("--few-samples"):
        return jit_cases
    if all_combinations:
        return list(samples.values())
    selection = samples_in_default_part(spec, dtype, route, form, [case.sample for case in samples.values()])
    return [samples[sample.id] for sample in selection]


def snapshot(args: tuple) -> list:
    return [a.clone() if isinstance(a, torch.Tensor) else a for a in args]


def assert_unchanged(originals: list, args: tuple) -> None:
    for i, (original, argument) in enumerate(zip(originals, args, strict=True)):
        if isinstance(argument, torch.Tensor) and not torch.equal(
            argument, original
        ):  # also true for an unchanged NaN, which assert_close accepts
            torch.testing.assert_close(
                argument, original, rtol=0, atol=0, equal_nan=True, msg=f"argument {i} was changed by the call"
            )


def check(spec: OpSpec, call, sample: Sample, contiguous: bool = True, reference: Expected | None = None) -> str | None:
    """None if `call` returns the right result for the sample, else a description of the error.

    Args:
        reference: the expected results, where they are computed already.
    """
    reference = reference or expected(spec, sample.args)
    originals = snapshot(sample.args)
    result = call(*sample.args)
    inputs = {a.untyped_storage().data_ptr() for a in sample.args if isinstance(a, torch.Tensor) and a.numel()}
    if any(r.numel() and r.untyped_storage().data_ptr() in inputs for r in spec.results(result)):
        return f"{spec.name} returned a view of an input, expected a fresh tensor"
    assert_unchanged(originals, sample.args)
    return mismatch(spec, reference, result, contiguous)


def check_out(
    spec: OpSpec, call, sample: Sample, contiguous: bool = True, reference: Expected | None = None
) -> str | None:
    """Like `check`, for existing outputs, which first get a value that no right result contains."""
    reference = reference or expected(spec, sample.args)
    outputs = spec.empty_outputs(*sample.args)
    for out in outputs:
        out.fill_(STALE.get(out.dtype, 31337.0))
    originals = snapshot(sample.args)
    call(*sample.args, *outputs)
    assert_unchanged(originals, sample.args)
    return mismatch(spec, reference, outputs, contiguous)


@pytest.mark.parametrize("form", FORMS)
def test_samples(spec: OpSpec, dtype: torch.dtype, route: Route, form: str, device: str, request) -> None:
    """Tests the op as a function and writing into existing outputs.

    Routes and forms vary fastest, because the expected results of only one op and dtype are cached at a time.
    """
    call = route.functional(spec) if form == "call" else route.out(spec)
    if call is None:
        pytest.skip(f"route {route.name} has no form of {spec.name} that writes into existing outputs")
    samples = samples_for(spec, route, dtype, form, device, request.config)
    if not samples:
        pytest.skip("JIT route: tested on few samples of few ops in the first dtype (--all-jit-samples: on all)")
    failures = []
    runs = 0
    for case in samples:
        sample = case.sample
        if spec.why_skipped(route.name, dtype, sample.id):
            continue
        runs += 1
        run = check if form == "call" else check_out
        if message := run(spec, call, sample, route.ours, case.expected):
            failures.append(f"{sample.id}: {message}")
    assert not failures, "; ".join(failures)
    assert runs, "every sample of this case is skipped by the spec"


@routes_where(lambda route: route.ours and not route.jit)
def test_second_call_is_not_the_first_result(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    """Catches a route that replays a cached result, or writes into an output that it returned earlier."""
    call = route.functional(spec)
    sample = next(s for s in spec.samples(dtype, device) if s.id in spec.jit_samples)
    first = spec.results(call(*sample.args))
    copies = [r.clone() for r in first]
    flipped_args = tuple(a.flip(0) if isinstance(a, torch.Tensor) else a for a in sample.args)
    second = call(*flipped_args)
    assert mismatch(spec, expected(spec, flipped_args), second) is None
    for result, copy in zip(first, copies, strict=True):
        assert torch.equal(result, copy), "a later call changed an earlier result"


@routes_where(lambda route: route.ours and not route.jit)
def test_under_grad_and_inference_modes(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    """Inputs that require a gradient, `no_grad` and `inference_mode` do not change the forward result."""
    call = route.functional(spec)
    sample = next(s for s in spec.samples(dtype, device) if s.id in spec.jit_samples)
    reference = expected(spec, sample.args)
    contexts = (torch.enable_grad, torch.no_grad, torch.inference_mode)
    records = route.namespace is not None and (spec.gradients or spec.name.endswith("_backward"))
    for context in (
        contexts if records else contexts[1:]
    ):  # a route that cannot record a gradient raises an error in the first
        with context():
            args = tuple(
                a.clone().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a
                for a in sample.args
            )
            results = call(*args)
        results = tuple(r.detach() for r in spec.results(results))
        assert mismatch(spec, reference, results) is None, context.__name__


@routes_where(lambda route: route.namespace is not None)
def test_out_may_be_an_input(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    if not spec.out_may_be_input:
        pytest.skip("the spec does not promise it")
    args = spec.sized(3, dtype, device)
    reference = expected(spec, args)
    args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
    call = route.out(spec)
    assert call is not None
    call(*args, args[0])
    assert mismatch(spec, reference, args[0]) is None


@functools.cache
def _threads(count: int):
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count)


@routes_where(lambda route: route.ours and not route.jit)
def test_several_python_threads(spec: OpSpec, route: Route, device: str) -> None:
    """Four threads make fifty calls each, every thread with its own data."""
    call = route.functional(spec)
    dtype = spec.dtypes[0]
    sample = next(s for s in spec.samples(dtype, device) if s.id in spec.jit_samples)

    def work(shift: int) -> str | None:
        args = tuple(a.roll(shift, 0) if isinstance(a, torch.Tensor) else a for a in sample.args)
        reference = expected(spec, args)
        return next((w for w in (mismatch(spec, reference, call(*args)) for _ in range(50)) if w), None)

    assert [w for w in _threads(4).map(work, range(4)) if w] == []
