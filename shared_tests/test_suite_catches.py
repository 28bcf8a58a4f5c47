"""Tests the suite itself: its checks must detect planted mistakes."""

from __future__ import annotations

import functools

import pytest
import torch

from shared_tests.accuracy import bounded, expected
from shared_tests.rounding import Bounded
from shared_tests.routes import all_routes
from shared_tests.selection import every_combination, samples_in_default_part
from shared_tests.spec import OpSpec
from shared_tests.tensors import strided, transposed
from shared_tests.test_correctness import check, check_out

FORMULA_ELEMENTS = 1 << 16  # in the largest argument of the samples on which formula and reference are compared


def results_of(spec: OpSpec, args: tuple) -> list[torch.Tensor]:
    return [r.clone(memory_format=torch.contiguous_format) for r in spec.results(spec.yardstick(*args))]


def give(spec: OpSpec, results: list[torch.Tensor]):
    return results[0] if len(results) == 1 else tuple(results)


def all_zeros(spec: OpSpec, *args):
    return give(spec, [torch.zeros_like(r) for r in results_of(spec, args)])


def off_by_one_row(spec: OpSpec, *args):
    return give(spec, [r.roll(1, 0) if r.dim() else r for r in results_of(spec, args)])


def forgotten_tail(spec: OpSpec, *args):
    """Leaves out the last few elements, like a vector loop without a remainder loop."""
    results = results_of(spec, args)
    for r in results:
        r.view(-1)[r.numel() // 8 * 8 :] = 0
    return give(spec, results)


def returns_an_input(spec: OpSpec, *args):
    return args[0] if len(spec.results(spec.yardstick(*args))) == 1 else (args[0], args[1])


def wrong_dtype(spec: OpSpec, *args):
    return give(spec, [r.to(torch.float64) for r in results_of(spec, args)])


def wrong_strides(spec: OpSpec, *args):
    """Right values in storage whose last two dimensions are swapped, or which is twice as long."""
    return give(spec, [transposed(r) if r.dim() > 1 else strided(r) if r.dim() else r for r in results_of(spec, args)])


def changes_its_input(spec: OpSpec, *args):
    results = give(spec, results_of(spec, args))
    if args[0].numel():
        args[0].view(-1)[0] += 1
    return results


def half_precision_inside(spec: OpSpec, *args):
    """Computes float32 results in bfloat16. The error of a few per mille is within many hand-picked tolerances."""
    low_precision_args = tuple(
        a.bfloat16() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args
    )
    return give(spec, [r.to(args[0].dtype) for r in results_of(spec, low_precision_args)])


def drops_nan(spec: OpSpec, *args):
    return give(spec, [torch.nan_to_num(r) for r in results_of(spec, args)])


class DropsATerm(Bounded):
    """Leaves out the last term of sums, like a remainder loop that ends one element early."""

    def sum(self, dim, keepdim=True, independent=False):
        first = dim if isinstance(dim, int) else dim[0]
        value = self.value.clone()
        value.narrow(first, max(value.shape[first] - 1, 0), min(value.shape[first], 1)).zero_()
        return Bounded.sum(type(self)(value, None, self.dtype), dim, keepdim)

    def matmul(self, other, bias=None):
        value = self.value.clone()
        value[..., -1:] = 0
        return Bounded.matmul(type(self)(value, None, self.dtype), other, bias)


class SumsInBfloat16(Bounded):
    """Rounds every partial sum to bfloat16, like an accumulator in the storage dtype."""

    def sum(self, dim, keepdim=True, independent=False):
        dims = (dim,) if isinstance(dim, int) else dim
        terms = self.value.movedim(dims, tuple(range(len(dims)))).flatten(0, len(dims) - 1)
        total = functools.reduce(
            lambda total, term: (total + term).bfloat16().double(), terms, torch.zeros(()).double()
        )
        total = total.expand(terms.shape[1:])
        for d in sorted(d % self.value.dim() for d in dims) if keepdim else ():
            total = total.unsqueeze(d)
        return type(self)(total, None, self.dtype)

    def matmul(self, other, bias=None):
        total = torch.zeros(()).double() if bias is None else bias.value
        for k in range(self.value.shape[-1]):
            row = other.value[k] if other.value.dim() == 2 else other.value[..., k, None, :]
            total = (total + self.value[..., k, None] * row).bfloat16().double()
        shape = (*self.value.shape[:-1], other.value.shape[-1])
        return type(self)(total.expand(shape), None, self.dtype)


class ExponentialsAreOff(Bounded):
    """Adds a relative error of 1e-5 to exponentials, like a polynomial of too low a degree."""

    def exp(self, limit=0.0):
        return type(self)(self.value.exp() * (1 + 1e-5 * (37 * self.value).cos()), None, self.dtype)

    def logistic(self):
        power = type(self)(-self.value, None, self.dtype).exp().value
        return type(self)(1 / (1 + power), None, self.dtype)


def in_faulty_arithmetic(arithmetic: type[Bounded], spec: OpSpec, *args):
    """Evaluates the formula of an op in float64 except for the faulty operation, and rounds once."""
    value = spec.formula(*bounded(spec, args, arithmetic))
    outputs = value if isinstance(value, tuple) else (value,)
    results = results_of(spec, args)
    return give(spec, [r if v is None else v.value.to(r.dtype) for v, r in zip(outputs, results, strict=True)])


def last_of_a_row_is_off(spec: OpSpec, *args):
    """Changes the last element of each row by 2 %, like a remainder loop with a wrong formula."""
    results = results_of(spec, args)
    for r in filter(torch.is_floating_point, results):
        (r[..., -1:] if r.dim() else r).mul_(1.02)
    return give(spec, results)


MISTAKES = [all_zeros, off_by_one_row, forgotten_tail, returns_an_input, wrong_dtype, wrong_strides, changes_its_input]


def is_caught(spec: OpSpec, mistake, dtype: torch.dtype | None = None) -> bool:
    for sample in spec.samples(dtype or spec.dtypes[0], "cpu"):
        try:
            if check(spec, lambda *args: mistake(spec, *args), sample):
                return True
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda b: b.__name__)
def test_planted_mistake_is_caught(spec: OpSpec, mistake) -> None:
    assert is_caught(spec, mistake)


@pytest.mark.parametrize("mistake", [half_precision_inside, drops_nan], ids=lambda b: b.__name__)
def test_planted_float_mistake_is_caught(spec: OpSpec, mistake) -> None:
    if not spec.dtypes[0].is_floating_point:
        pytest.skip("the op has no floating-point form")
    assert is_caught(spec, mistake)


@pytest.mark.parametrize("arithmetic", [DropsATerm, SumsInBfloat16, ExponentialsAreOff], ids=lambda a: a.__name__)
def test_faulty_arithmetic_is_caught(spec: OpSpec, dtype: torch.dtype, arithmetic: type[Bounded]) -> None:
    """Detects errors that would pass if the floor of the tolerance were too wide."""
    if arithmetic is ExponentialsAreOff and dtype is not torch.float32:
        pytest.skip("1e-5 is small compared with the rounding of a 16-bit result")
    sample = next(s for s in spec.samples(dtype, "cpu") if s.id in spec.jit_samples)
    correct_results, faulty_results = (in_faulty_arithmetic(a, spec, *sample.args) for a in (Bounded, arithmetic))
    if all(torch.equal(a, b) for a, b in zip(spec.results(correct_results), spec.results(faulty_results), strict=True)):
        pytest.skip("the op has no such operation")
    assert is_caught(spec, functools.partial(in_faulty_arithmetic, arithmetic), dtype)


def test_last_element_is_held_to_its_own_size(spec: OpSpec, dtype: torch.dtype) -> None:
    if not dtype.is_floating_point:
        pytest.skip("the op has no floating-point form")
    assert is_caught(spec, last_of_a_row_is_off, dtype)


def test_formula_is_that_of_the_reference(spec: OpSpec, dtype: torch.dtype) -> None:
    """The formula from which the error bound is computed agrees with the reference to a thousandth of the bound."""
    for sample in spec.samples(dtype, "cpu"):
        if max(a.numel() for a in sample.args if isinstance(a, torch.Tensor)) > FORMULA_ELEMENTS:
            continue
        reference, value = expected(spec, sample.args), spec.formula(*bounded(spec, sample.args))
        for output, exact, floor in zip(
            value if isinstance(value, tuple) else (value,), reference.exact, reference.floors, strict=True
        ):
            if output is not None and dtype.is_floating_point:
                deviation = (output.value - exact).abs()
                is_compared = (
                    torch.isfinite(exact) & torch.isfinite(deviation) & (floor > 0)
                )  # 0 means that there is no bound
                assert (deviation <= floor / 1000)[is_compared].all(), sample.id


def test_stale_memory_is_caught(spec: OpSpec) -> None:
    """Detects an implementation that does not write its output."""
    assert any(check_out(spec, lambda *args: None, sample) for sample in spec.samples(spec.dtypes[0], "cpu"))


def test_cached_result_is_caught(spec: OpSpec) -> None:
    cache: dict = {}

    def cached(*args):
        key = tuple(a.shape for a in args if isinstance(a, torch.Tensor))
        return cache.setdefault(key, give(spec, results_of(spec, args)))

    sample = next(s for s in spec.samples(spec.dtypes[0], "cpu") if s.id in spec.jit_samples)
    assert check(spec, cached, sample) is None, "the first call is right"
    flipped_sample = type(sample)(
        "flipped", tuple(a.flip(0) if isinstance(a, torch.Tensor) else a for a in sample.args)
    )
    assert check(spec, cached, flipped_sample), "the replayed result must be found"


def test_right_implementation_passes(spec: OpSpec, dtype: torch.dtype, request: pytest.FixtureRequest) -> None:
    """The checks are not so tight that eager PyTorch fails them."""
    samples = list(spec.samples(dtype, "cpu"))
    if not every_combination(request.config):
        samples = samples_in_default_part(spec, dtype, all_routes()["eager"], "out", samples)
    for sample in samples:
        assert check(spec, lambda *args: give(spec, results_of(spec, args)), sample) is None, sample.id
