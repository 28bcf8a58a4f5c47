"""A patched model behaves as the model itself under everything that users do to it.

Each manipulation runs on a model and on a patched copy of it, and the results must agree. `MANIPULATIONS` lists what is
done, `FAMILIES` the models. Every family meets every manipulation on one route, chosen so that every pair of route and
family and of route and manipulation occurs as well; `--all-families` takes every route.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from shared_tests.routes import all_routes

pytest.importorskip("transformers")
pytest.importorskip("kernels")

from shared_tests.manipulations import MANIPULATIONS, Rounded, gradients, logits
from shared_tests.selection import in_default_part
from shared_tests.small_models import FAMILIES, VARIANT_FAMILIES, build, build_variant, tokens

SIDES = {"cpp": "cpp_ext", "mojo": "mojo_ops"}
ROUTES = {
    name: SIDES[route.side]
    for name, route in all_routes().items()
    if route.side in SIDES and route.ours and not route.jit
}


def new_model(family: str) -> Any:
    """A new model that can be pickled; with `kernels` installed, those of transformers need a correction first."""
    model = build(family)
    for package in SIDES.values():
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{package}.patching.rotary").let_pickle(model)
    return model


def results(family: str, name: str, patch: Any = None) -> Any:
    """The result of a manipulation on a new model, or `Raised` where the model refuses it.

    Args:
        patch: applied to the model first.
    """
    model = new_model(family)
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
    """The exception by which the unpatched model refuses a manipulation."""

    kind: str


@functools.cache
def expected(family: str, name: str) -> Any:
    return results(family, name)


def assert_agreement(actual: Any, expected_value: Any, location: str) -> None:
    """Compare two results.

    Raises:
        AssertionError: they differ; the message says where.
    """
    if isinstance(expected_value, Rounded):
        scale = expected_value.values.float().abs().max().item()
        torch.testing.assert_close(
            actual.values.float(),
            expected_value.values.float(),
            rtol=0,
            atol=16 * expected_value.eps * scale,
            msg=lambda m: f"{location}: {m}",
        )
    elif isinstance(expected_value, Tensor):
        exact = not expected_value.is_floating_point()
        scale = 0.0 if exact or not expected_value.numel() else expected_value.detach().abs().max().item()
        torch.testing.assert_close(
            actual, expected_value, rtol=0 if exact else 2e-4, atol=2e-5 * scale, msg=lambda m: f"{location}: {m}"
        )
    elif isinstance(expected_value, dict):
        assert actual.keys() == expected_value.keys(), location
        for key, value in expected_value.items():
            assert_agreement(actual[key], value, f"{location}: {key}")
    elif isinstance(expected_value, (list, tuple)):
        assert len(actual) == len(expected_value), f"{location}: {actual} against {expected_value}"
        for i, (a, b) in enumerate(zip(actual, expected_value, strict=True)):
            assert_agreement(a, b, f"{location}[{i}]")
    else:
        assert actual == expected_value, f"{location}: {actual!r}, the model itself gives {expected_value!r}"


def combinations(all_routes_of_each: bool) -> Iterator[tuple[str, str, str]]:
    """Manipulation, family and route of each test; the families of a manipulation follow each other."""
    for (i, name), (j, family), (k, route) in itertools.product(
        enumerate(MANIPULATIONS), enumerate(FAMILIES), enumerate(ROUTES)
    ):
        if all_routes_of_each or in_default_part(len(ROUTES), i, j, k):
            yield name, family, route


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the combinations of a test over manipulations, families and routes."""
    if "side_route" in metafunc.fixturenames:
        cases = list(combinations(metafunc.config.getoption("--all-families")))
        metafunc.parametrize(("name", "family", "side_route"), cases, ids=["-".join(case) for case in cases])


def test_every_pair_of_manipulation_family_and_route_is_kept() -> None:
    cases = list(combinations(all_routes_of_each=False))
    assert {case[:2] for case in cases} == set(itertools.product(MANIPULATIONS, FAMILIES))
    assert {case[1:] for case in cases} == set(itertools.product(FAMILIES, ROUTES))
    assert {case[::2] for case in cases} == set(itertools.product(MANIPULATIONS, ROUTES))
    assert len(cases) == len(MANIPULATIONS) * len(FAMILIES)


def test_a_patched_model_behaves_as_the_model_itself(side_route: str, family: str, name: str) -> None:
    if reason := all_routes()[side_route].unavailable():
        pytest.skip(reason)
    patch = functools.partial(importlib.import_module(ROUTES[side_route]).patch, route=side_route)
    assert_agreement(results(family, name, patch), expected(family, name), f"{family}, {name}")


@pytest.mark.parametrize(("name", "family"), [(name, ("gpt2", "llama")[i % 2]) for i, name in enumerate(MANIPULATIONS)])
def test_a_model_that_was_manipulated_before(name: str, family: str) -> None:
    """The model is patched after the manipulation instead of before it."""
    patch = pytest.importorskip("cpp_ext").patch
    outcomes = []
    for patched in (False, True):
        model, ids = new_model(family), tokens().clamp(max=111)
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
        is_bfloat16 = any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
        outcomes.append([out.dtype, Rounded(out, torch.bfloat16) if is_bfloat16 else out])
    assert_agreement(outcomes[1], outcomes[0], f"{family}, {name}")


@pytest.mark.parametrize("family", VARIANT_FAMILIES)
def test_other_families(family: str) -> None:
    patch = pytest.importorskip("cpp_ext").patch
    outcomes = []
    for patched in (False, True):
        model, ids = build_variant(family), tokens()
        if patched:
            patch(model)
        outcomes.append([logits(model, ids), gradients(model, ids)])
    assert_agreement(outcomes[1], outcomes[0], family)


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_a_manipulation_is_one_that_families_support(name: str, request: pytest.FixtureRequest) -> None:
    """A refusal on both sides counts as agreement, so a manipulation that most refuse would test nothing.

    Half of the families have to support it; without `--all-families`, the first two that do are enough.
    """
    required_count = (len(FAMILIES) + 1) // 2 if request.config.getoption("--all-families") else 2
    supported = (family for family in FAMILIES if not isinstance(expected(family, name), Raised))
    assert len(list(itertools.islice(supported, required_count))) == required_count
