"""Checks gradients of every registered route against float64 autograd of the reference, by the tolerance rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from shared_tests.accuracy import to_double
from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec
from shared_tests.tensors import randn

registered = routes_where(lambda route: route.namespace is not None)
ELEMENTS = 1 << 15  # samples with a larger argument are not differentiated

Gradients = tuple[torch.Tensor, ...]


def floating(spec: OpSpec) -> bool:
    return spec.dtypes[0].is_floating_point


def leaves_of(spec: OpSpec, args: tuple[Any, ...]) -> tuple[list[Any], list[torch.Tensor]]:
    """The arguments, with new leaves for those that the op is differentiable in, and these leaves."""
    inputs, leaves = list(args), []
    for i, argument in enumerate(spec.parsed.arguments):
        if argument.name in spec.gradients and i < len(inputs) and isinstance(inputs[i], torch.Tensor):
            inputs[i] = inputs[i].detach().requires_grad_()
            leaves.append(inputs[i])
    return inputs, leaves


def gradients(spec: OpSpec, call: Callable[..., Any], args: tuple[Any, ...], output: int | None = None) -> Gradients:
    """Gradients of the weighted sum of the elements of all floating-point outputs, or only of the one at `output`."""
    inputs, leaves = leaves_of(spec, args)
    outputs = [r for r in spec.results(call(*inputs)) if r.is_floating_point()]
    outputs = outputs if output is None else outputs[output : output + 1]
    weights = [randn(tuple(r.shape), torch.float32, str(r.device), seed=str(i)) for i, r in enumerate(outputs)]
    # Each weight has the dtype of its output, because a log-sum-exp is float64. With a single output, an argument that
    # it does not depend on has no gradient.
    return torch.autograd.grad(
        outputs,
        leaves,
        [w.to(r.dtype) for w, r in zip(weights, outputs, strict=True)],
        allow_unused=output is not None,
        materialize_grads=output is not None,
    )


def wrong_gradient(
    spec: OpSpec, call: Callable[..., Any], args: tuple[Any, ...], output: int | None = None
) -> str | None:
    """None if the error of each gradient of `call` is at most twice that of eager plus one rounding step."""
    exact = gradients(spec, spec.reference, tuple(map(to_double, args)), output)
    eager = gradients(spec, spec.yardstick, args, output)
    actual = gradients(spec, call, args, output)
    names = [n for n, a in zip(spec.gradients, leaves_of(spec, args)[1], strict=False) if a is not None]
    for name, grad, eager_grad, exact_grad in zip(names, actual, eager, exact, strict=True):
        if grad.shape != exact_grad.shape or grad.dtype != eager_grad.dtype:
            return (
                f"gradient of {name} is {list(grad.shape)} {grad.dtype}, "
                f"expected {list(exact_grad.shape)} {eager_grad.dtype}"
            )
        if not exact_grad.numel() or not torch.isfinite(exact_grad).all():
            continue
        scale = exact_grad.abs().max().item()
        allowed = 2 * (eager_grad.double() - exact_grad).abs().max().item() + torch.finfo(eager_grad.dtype).eps * scale
        if not (error := (grad.double() - exact_grad).abs().max().item()) <= allowed:
            return f"gradient of {name}: error {error:.3e} against float64, allowed {allowed:.3e}"
    return None


def small_enough(args: tuple[Any, ...]) -> bool:
    return max(a.numel() for a in args if isinstance(a, torch.Tensor)) <= ELEMENTS


def test_reference_is_differentiated_rightly(spec: OpSpec, device: str) -> None:
    """Autograd of the reference agrees with finite differences in float64."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    inputs, _ = leaves_of(spec, tuple(map(to_double, spec.sized(1, torch.float32, device))))
    assert torch.autograd.gradcheck(
        lambda *args: tuple(r for r in spec.results(spec.reference(*args)) if r.requires_grad), inputs, fast_mode=True
    )


@registered
def test_gradient(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    call, failures = route.functional(spec), []
    for sample in spec.samples(dtype, device):
        if small_enough(sample.args) and (message := wrong_gradient(spec, call, sample.args)):
            failures.append(f"{sample.id}: {message}")
    assert not failures, "; ".join(failures)


@registered
def test_gradient_through_each_output(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    """Gradients of each output alone, such as a loss that uses only the log-sum-exps."""
    outputs = sum(r.is_floating_point() for r in spec.empty_outputs(*spec.sized(1, dtype, device)))
    if not spec.gradients or outputs < 2:
        pytest.skip("the op has no gradient, or one output")
    call, failures = route.functional(spec), []
    for sample in spec.samples(dtype, device):
        if sample.args[0].shape[-1] == 1:
            continue  # the gradient of a norm of one element is a difference of equal terms
        for output in range(outputs):
            if small_enough(sample.args) and (message := wrong_gradient(spec, call, sample.args, output)):
                failures.append(f"{sample.id}, output {output}: {message}")
    assert not failures, "; ".join(failures)


@registered
def test_unused_output_of_rope(route: Route, device: str) -> None:
    """As in eager, an unused output adds nothing, not even 0 * inf, to the tables' gradients; its argument has none."""
    from shared_tests.ops.rope import SPEC

    args = SPEC.sized(2, torch.float32, device)
    for unused_output in range(2):
        inputs = (
            *(torch.full_like(x, torch.inf) if i == unused_output else x for i, x in enumerate(args[:2])),
            *args[2:],
        )
        results = []
        for call in (SPEC.reference, route.functional(SPEC)):
            leaves = leaves_of(SPEC, inputs)
            output = SPEC.results(call(*leaves[0]))[1 - unused_output]
            results.append(torch.autograd.grad(output.square().sum(), leaves[1], allow_unused=True))
        for eager_gradient, actual in zip(*results, strict=True):
            assert (eager_gradient is None) == (actual is None)
            if eager_gradient is not None:
                assert eager_gradient.isfinite().all()
                torch.testing.assert_close(actual, eager_gradient)


def test_every_floating_argument_has_a_gradient(spec: OpSpec, device: str) -> None:
    """An op with gradients is differentiable in all floating-point arguments and through all such outputs."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = spec.sized(2, spec.dtypes[0], device)
    tensors = [a.name for a, x in zip(spec.parsed.arguments, args, strict=False) if isinstance(x, torch.Tensor)]
    floats = [
        name
        for name, x in zip(tensors, (x for x in args if isinstance(x, torch.Tensor)), strict=True)
        if x.is_floating_point()
    ]
    assert set(floats) <= set(spec.gradients)
    inputs, _ = leaves_of(spec, args)
    assert all(r.requires_grad for r in spec.results(spec.reference(*inputs)) if r.is_floating_point())


@registered
def test_gradient_of_some_arguments(spec: OpSpec, route: Route, device: str) -> None:
    """Only one argument at a time requires a gradient, for the functional form and for the registered operator."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = spec.sized(2, spec.dtypes[0], device)
    names = [a.name for a in spec.parsed.arguments]
    for name in spec.gradients:
        place = names.index(name)
        if not isinstance(args[place], torch.Tensor):
            continue
        computed = []
        for call in (spec.reference, route.functional(spec), route.overload(spec)):
            leaf = args[place].detach().clone().requires_grad_()
            outputs = spec.results(call(*args[:place], leaf, *args[place + 1 :]))
            torch.stack([(r.float() * r.float()).sum() for r in outputs if r.is_floating_point()]).sum().backward()
            assert leaf.grad is not None, name
            computed.append(leaf.grad)
        for actual in computed[1:]:
            torch.testing.assert_close(actual, computed[0], rtol=1e-3, atol=1e-4 * (1 + computed[0].abs().max().item()))


@registered
def test_gradient_in_a_compiled_function(route: Route, device: str) -> None:
    from shared_tests.ops.rms_norm import SPEC

    torch._dynamo.reset()
    args = SPEC.sized(2, torch.float32, device)
    compiled = torch.compile(route.functional(SPEC), fullgraph=True)
    expected, actual = gradients(SPEC, route.functional(SPEC), args), gradients(SPEC, compiled, args)
    for compiled_grad, expected_grad in zip(actual, expected, strict=True):
        assert torch.equal(compiled_grad, expected_grad)
