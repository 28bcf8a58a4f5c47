"""The compiled kernel of the Autograd keys: no Python before a call that needs no derivative, and no call gone astray.

test_derivatives.py and test_gradients.py hold the values of what it hands to the gradient formula.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec, all_specs
from shared_tests.test_derivatives import arguments, float_places, with_leaf
from shared_tests.test_gradients import floating

registered = routes_where(lambda route: route.namespace is not None)


def python_frames(call: Any, args: tuple[Any, ...]) -> list[str]:
    """Names of the Python functions that a call enters."""
    names: list[str] = []
    sys.setprofile(lambda frame, event, _: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call(*args)
    finally:
        sys.setprofile(None)
    return names


@registered
def test_no_python_where_no_derivative_is_asked(spec: OpSpec, route: Route, device: str) -> None:
    if not floating(spec) or spec.mutates or (route.side == "mojo" and device != "cpu"):
        pytest.skip("the op has no formula, or its kernel on this device is Python")
    call, args = route.overload(spec)._op, arguments(spec, device)
    assert python_frames(call, args) == []
    with torch.no_grad():
        assert python_frames(call, with_leaf(args, float_places(args)[0])) == []
    if spec.gradients:
        assert "autograd" in python_frames(call, with_leaf(args, float_places(args)[0]))


@registered
def test_a_lazy_negation_is_seen(spec: OpSpec, route: Route, device: str) -> None:
    """`x.conj().imag` negates nothing in memory; the dispatch key that does lies below autograd."""
    args = spec.sized(2, spec.dtypes[0], device)
    if not floating(spec) or spec.mutates or args[0].dtype is not torch.float32:
        pytest.skip("the op writes its arguments, or takes no float32")
    for place in float_places(args):
        x = args[place]
        if x.dtype is not torch.float32:
            continue
        lazy = torch.complex(torch.zeros_like(x), -x).conj().imag
        assert lazy.is_neg()
        expected = spec.results(route.overload(spec)(*args))
        actual = spec.results(route.overload(spec)(*args[:place], lazy, *args[place + 1 :]))
        for result, expected_result in zip(actual, expected, strict=True):
            assert torch.equal(result, expected_result)


class Stop(BaseException):
    """No RuntimeError, which is all that C++ would make of it."""


@registered
def test_an_exception_of_python_keeps_its_type(spec: OpSpec, route: Route, device: str) -> None:
    """Activation checkpointing stops its second forward pass by one."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = arguments(spec, device)
    leaf = with_leaf(args, float_places(args)[0])
    packed_tensors: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        packed_tensors.append(tensor)
        raise Stop(spec.name)

    is_raised = False
    try:
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            route.overload(spec)(*leaf)
    except Stop as error:
        is_raised = error.args == (spec.name,)
    assert is_raised == bool(packed_tensors)

    class Refuses(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise Stop(func)

    with pytest.raises(Stop) as error_info, Refuses():
        route.overload(spec)(*leaf)
    assert error_info.value.args == (route.overload(spec),)


@registered
def test_activation_checkpointing(route: Route, device: str) -> None:
    norm, gelu = (route.overload(all_specs()[name]) for name in ("rms_norm", "gelu_tanh"))
    weight = torch.linspace(0.5, 1.5, 8, device=device)

    def block(x: torch.Tensor) -> torch.Tensor:
        return norm(gelu(x), weight, 1e-6)

    x = torch.randn(4, 8, device=device, requires_grad=True)
    (expected,) = torch.autograd.grad(block(x).square().sum(), x)
    (actual,) = torch.autograd.grad(checkpoint(block, x, use_reentrant=False).square().sum(), x)
    assert torch.equal(actual, expected)


@registered
def test_a_mode_sees_the_op_once(spec: OpSpec, route: Route, device: str) -> None:
    if spec.mutates:
        pytest.skip("the op writes its arguments")
    functions = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            functions.append(func)
            return func(*args, **(kwargs or {}))

    args = arguments(spec, device)
    calls = [args] if not spec.gradients else [args, with_leaf(args, float_places(args)[0])]
    for call in calls:
        functions.clear()
        with Mode():
            route.overload(spec)(*call)
        assert [func for func in functions if func.namespace == route.namespace] == [route.overload(spec)]
