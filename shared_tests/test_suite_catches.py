"""The suite tested on wrong implementations: what is planted here must be caught by the checks the routes face."""

from __future__ import annotations

import pytest
import torch

from shared_tests.spec import OpSpec
from shared_tests.tensors import strided, transposed
from shared_tests.test_correctness import check, check_out


def results_of(spec: OpSpec, args: tuple) -> list[torch.Tensor]:
    return [r.clone(memory_format=torch.contiguous_format) for r in spec.results(spec.yardstick(*args))]


def give(spec: OpSpec, results: list[torch.Tensor]):
    return results[0] if len(results) == 1 else tuple(results)


def all_zeros(spec: OpSpec, *args):
    return give(spec, [torch.zeros_like(r) for r in results_of(spec, args)])


def off_by_one_row(spec: OpSpec, *args):
    return give(spec, [r.roll(1, 0) if r.dim() else r for r in results_of(spec, args)])


def forgotten_tail(spec: OpSpec, *args):
    """The last few elements are left out, as by a vector loop without a remainder loop."""
    results = results_of(spec, args)
    for r in results:
        r.view(-1)[r.numel() // 8 * 8 :] = 0
    return give(spec, results)


def returns_an_input(spec: OpSpec, *args):
    return args[0] if len(spec.results(spec.yardstick(*args))) == 1 else (args[0], args[1])


def wrong_dtype(spec: OpSpec, *args):
    return give(spec, [r.to(torch.float64) for r in results_of(spec, args)])


def wrong_strides(spec: OpSpec, *args):
    """Right values over storage whose last two dimensions are swapped, or that is twice as long."""
    return give(spec, [transposed(r) if r.dim() > 1 else strided(r) if r.dim() else r for r in results_of(spec, args)])


def changes_its_input(spec: OpSpec, *args):
    results = give(spec, results_of(spec, args))
    if args[0].numel():
        args[0].view(-1)[0] += 1
    return results


def half_precision_inside(spec: OpSpec, *args):
    """Float32 work done in bfloat16: a few parts in a thousand off, inside many a hand-picked tolerance."""
    low = tuple(a.bfloat16() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)
    return give(spec, [r.to(args[0].dtype) for r in results_of(spec, low)])


def drops_nan(spec: OpSpec, *args):
    return give(spec, [torch.nan_to_num(r) for r in results_of(spec, args)])


BAD = [all_zeros, off_by_one_row, forgotten_tail, returns_an_input, wrong_dtype, wrong_strides, changes_its_input]


def caught(spec: OpSpec, bad) -> bool:
    for sample in spec.samples(spec.dtypes[0], "cpu"):
        try:
            if check(spec, lambda *args: bad(spec, *args), sample):
                return True
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("bad", BAD, ids=lambda b: b.__name__)
def test_planted_mistake_is_caught(spec: OpSpec, bad) -> None:
    assert caught(spec, bad)


@pytest.mark.parametrize("bad", [half_precision_inside, drops_nan], ids=lambda b: b.__name__)
def test_planted_float_mistake_is_caught(spec: OpSpec, bad) -> None:
    if not spec.dtypes[0].is_floating_point:
        pytest.skip("the op has no floating-point form")
    assert caught(spec, bad)


def test_stale_memory_is_caught(spec: OpSpec) -> None:
    """An implementation that leaves its ready output untouched, although it holds what malloc gave before."""
    wrong = [check_out(spec, lambda *args: None, sample) for sample in spec.samples(spec.dtypes[0], "cpu")]
    assert any(wrong)


def test_cached_result_is_caught(spec: OpSpec) -> None:
    cache: dict = {}

    def cached(*args):
        key = tuple(a.shape for a in args if isinstance(a, torch.Tensor))
        return cache.setdefault(key, give(spec, results_of(spec, args)))

    sample = next(s for s in spec.samples(spec.dtypes[0], "cpu") if s.id in spec.jit_samples)
    assert check(spec, cached, sample) is None, "the first call is right"
    flipped = type(sample)("flipped", tuple(a.flip(0) if isinstance(a, torch.Tensor) else a for a in sample.args))
    assert check(spec, cached, flipped), "the replayed result must be found"


def test_right_implementation_passes(spec: OpSpec, dtype: torch.dtype) -> None:
    """The checks are not so tight that eager PyTorch itself fails them."""
    for sample in spec.samples(dtype, "cpu"):
        assert check(spec, lambda *args: give(spec, results_of(spec, args)), sample) is None, sample.id
