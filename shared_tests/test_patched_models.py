"""A patched model behaves as the model itself under everything that users do to it: families x manipulations x routes.

`MANIPULATIONS` has what is done, `FAMILIES` to which models; `--all-families` takes all of them on every route. Each
manipulation runs on a model and on its patched twin, and the results must agree.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from shared_tests.routes import all_routes

pytest.importorskip("transformers")
pytest.importorskip("kernels")

from shared_tests.manipulations import MANIPULATIONS, Rounded, gradients, logits
from shared_tests.small_models import FAMILIES, OTHERS, build, build_other, tokens

SIDES = {"cpp": "cpp_ext", "mojo": "mojo_ops"}
ROUTES = {
    name: SIDES[route.side]
    for name, route in all_routes().items()
    if route.side in SIDES and route.ours and not route.jit
}


def fresh(family: str) -> Any:
    """A new model that can be pickled: with `kernels` installed transformers' own cannot, until a patch mends it."""
    model = build(family)
    for package in SIDES.values():
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{package}.patching.rotary").let_pickle(model)
    return model


def results(family: str, name: str, patch: Any = None) -> Any:
    """What a manipulation gives on a new model, patched where `patch` is given; `Raised` where the model refuses it."""
    model = fresh(family)
    if patch is not None:
        patch(model)
    torch.manual_seed(0)
    try:
        return MANIPULATIONS[name](model, tokens())
    except (RuntimeError, ValueError, TypeError) as error:
        if patch is not None and not isinstance(expected(family, name), Raised):
            raise
        return Raised(type(error).__name__)


@dataclass(frozen=True)
class Raised:
    """The model refuses the manipulation itself."""

    kind: str


@functools.cache
def expected(family: str, name: str) -> Any:
    return results(family, name)


def agree(got: Any, want: Any, where: str) -> None:
    """Raises AssertionError, which says where two results differ."""
    if isinstance(want, Rounded):
        scale = want.values.float().abs().max().item()
        torch.testing.assert_close(
            got.values.float(), want.values.float(), rtol=0, atol=16 * want.eps * scale, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(want, Tensor):
        exact = not want.is_floating_point()
        scale = 0.0 if exact or not want.numel() else want.detach().abs().max().item()
        torch.testing.assert_close(
            got, want, rtol=0 if exact else 2e-4, atol=2e-5 * scale, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(want, dict):
        assert got.keys() == want.keys(), where
        for key, value in want.items():
            agree(got[key], value, f"{where}: {key}")
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), f"{where}: {got} against {want}"
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            agree(a, b, f"{where}[{i}]")
    else:
        assert got == want, f"{where}: {got!r}, the model itself gives {want!r}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every family on one route and two families on the others: which forward runs is decided by one source."""
    if "side_route" in metafunc.fixturenames:
        every = ROUTES if metafunc.config.getoption("--all-families") else ("cpp",)
        cases = [(route, family) for route in ROUTES for family in (FAMILIES if route in every else ("gpt2", "llama"))]
        metafunc.parametrize(("side_route", "family"), cases)


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_a_patched_model_behaves_as_the_model_itself(side_route: str, family: str, name: str) -> None:
    if why := all_routes()[side_route].unavailable():
        pytest.skip(why)
    patch = functools.partial(importlib.import_module(ROUTES[side_route]).patch, route=side_route)
    agree(results(family, name, patch), expected(family, name), f"{family}, {name}")


@pytest.mark.parametrize("name", MANIPULATIONS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_model_that_was_manipulated_before(family: str, name: str) -> None:
    """Patched after the manipulation in place of before it."""
    patch = pytest.importorskip("cpp_ext").patch
    outcomes = []
    for patched in (False, True):
        model, ids = fresh(family), tokens().clamp(max=111)
        try:
            MANIPULATIONS[name](model, ids)
        except (RuntimeError, ValueError, TypeError):
            pytest.skip("the model itself refuses the manipulation")
        if patched:
            with contextlib.suppress(ValueError):  # nothing is left to swap
                patch(model)
        torch.manual_seed(0)
        with torch.no_grad():
            out = model(ids, use_cache=False).logits
        narrow = any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
        outcomes.append([out.dtype, Rounded(out, torch.bfloat16) if narrow else out])
    agree(outcomes[1], outcomes[0], f"{family}, {name}")


@pytest.mark.parametrize("family", OTHERS)
def test_other_families(family: str) -> None:
    patch = pytest.importorskip("cpp_ext").patch
    outcomes = []
    for patched in (False, True):
        model, ids = build_other(family), tokens()
        if patched:
            patch(model)
        outcomes.append([logits(model, ids), gradients(model, ids)])
    agree(outcomes[1], outcomes[0], family)


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_a_manipulation_is_one_that_most_families_support(name: str) -> None:
    refused = [family for family in FAMILIES if isinstance(expected(family, name), Raised)]
    assert len(refused) <= len(FAMILIES) // 2, f"{', '.join(refused)} refuse it"
