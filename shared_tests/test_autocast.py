"""Under autocast, ops cast their arguments by PyTorch's lists for CUDA (ATen/autocast_mode.h) on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec
from shared_tests.test_derivatives import arguments, float_places, forms
from shared_tests.test_gradients import floating

registered = routes_where(lambda route: route.namespace is not None)
LOWER = torch.bfloat16
Args = tuple[Any, ...]


def cast(args: Args, dtypes: dict[int, torch.dtype]) -> Args:
    return tuple(a.to(dtypes[i]) if i in dtypes else a for i, a in enumerate(args))


def mixtures(spec: OpSpec, args: Args) -> dict[str, Args]:
    """Calls whose arguments all have one dtype, and calls in which one argument has another dtype than the rest."""
    places = [i for i in float_places(args) if args[i].dtype is not torch.float64]
    calls = {str(d): cast(args, dict.fromkeys(places, d)) for d in (torch.float32, LOWER)}
    if spec.autocast and len(places) > 1:
        for place in places:
            for dtype, other_dtype in ((torch.float32, LOWER), (LOWER, torch.float32)):
                calls[f"{place} in {dtype}"] = cast(args, {**dict.fromkeys(places, other_dtype), place: dtype})
    elif not spec.autocast:
        calls = {name: call for name, call in calls.items() if call[places[0]].dtype in spec.dtypes}
    return calls


def explicitly_cast(spec: OpSpec, args: Args) -> Args:
    """The arguments after the cast that the spec's autocast policy requires."""
    places = [i for i in float_places(args) if args[i].dtype is not torch.float64]
    dtypes = {args[i].dtype for i in places}
    if spec.autocast is None or (spec.autocast == "widest" and len(dtypes) == 1):
        return args
    return cast(args, dict.fromkeys(places, LOWER if spec.autocast == "lower" else torch.float32))


def results(spec: OpSpec, call: Callable[..., Any], args: Args, device: str, enabled: bool) -> tuple[torch.Tensor, ...]:
    with torch.autocast(device, LOWER, enabled=enabled):
        return spec.results(call(*args))


@registered
def test_casts_as_its_kind(spec: OpSpec, route: Route, device: str) -> None:
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    for mixture, args in mixtures(spec, arguments(spec, device)).items():
        for form, call in forms(spec, route).items():
            explicit = results(spec, call, explicitly_cast(spec, args), device, enabled=False)
            for result, explicit_result in zip(results(spec, call, args, device, enabled=True), explicit, strict=True):
                assert result.dtype == explicit_result.dtype, f"{form}, {mixture}"
                assert torch.equal(result, explicit_result), f"{form}, {mixture}"


@registered
def test_gradients_inside_autocast(spec: OpSpec, route: Route, device: str) -> None:
    """Gradients, also by torch.func, have the dtypes of the leaves and the values of a call with explicit casts."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    for mixture, args in mixtures(spec, arguments(spec, device)).items():
        place = float_places(args)[0]
        for form, call in forms(spec, route).items():

            def total(x: torch.Tensor, explicit: bool, place: int = place, args: Args = args, call: Any = call) -> Any:
                inputs = (*args[:place], x, *args[place + 1 :])
                outputs = spec.results(call(*(explicitly_cast(spec, inputs) if explicit else inputs)))
                return torch.stack([r.double().sum() for r in outputs if r.is_floating_point()]).sum()

            leaf = args[place].detach().clone().requires_grad_()
            (explicit_gradient,) = torch.autograd.grad(total(leaf, True), leaf)
            with torch.autocast(device, LOWER):
                (actual,) = torch.autograd.grad(total(leaf, False), leaf)
                functional_gradient = torch.func.grad(total)(args[place], False)
            assert actual.dtype == functional_gradient.dtype == leaf.dtype
            torch.testing.assert_close(actual, explicit_gradient, msg=f"{form}, {mixture}")
            torch.testing.assert_close(functional_gradient, explicit_gradient, msg=f"torch.func, {form}, {mixture}")


@registered
def test_autocast_in_a_compiled_function(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.autocast:
        pytest.skip("autocast leaves the op alone")
    call = route.call(spec)
    for args in list(mixtures(spec, arguments(spec, device)).values())[-2:]:
        torch._dynamo.reset()
        explicit = results(spec, call, args, device, enabled=True)
        compiled = torch.compile(lambda *a: call(*a), backend="aot_eager", fullgraph=True)
        for result, explicit_result in zip(results(spec, compiled, args, device, enabled=True), explicit, strict=True):
            assert torch.equal(result, explicit_result)
            assert result.dtype == explicit_result.dtype
