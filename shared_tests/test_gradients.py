"""Gradients of every registered route, held to float64 autograd of the spec's reference by the tolerance rule."""

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
ELEMENTS = 1 << 15  # of the largest argument of the samples that are differentiated

Gradients = tuple[torch.Tensor, ...]


def floating(spec: OpSpec) -> bool:
    return spec.dtypes[0].is_floating_point


def leaves_of(spec: OpSpec, args: tuple[Any, ...]) -> tuple[list[Any], list[torch.Tensor]]:
    """The arguments with fresh leaves for those that the op is differentiable in, and these leaves."""
    given, leaves = list(args), []
    for i, argument in enumerate(spec.parsed.arguments):
        if argument.name in spec.gradients and i < len(given) and isinstance(given[i], torch.Tensor):
            given[i] = given[i].detach().requires_grad_()
            leaves.append(given[i])
    return given, leaves


def gradients(spec: OpSpec, call: Callable[..., Any], args: tuple[Any, ...], output: int | None = None) -> Gradients:
    """Gradients of a sum of all floating-point outputs, or of the one at `output`, each element with its own weight."""
    given, leaves = leaves_of(spec, args)
    outputs = [r for r in spec.results(call(*given)) if r.is_floating_point()]
    outputs = outputs if output is None else outputs[output : output + 1]
    weights = [randn(tuple(r.shape), torch.float32, str(r.device), seed=str(i)) for i, r in enumerate(outputs)]
    # An output in float64 beside others, such as a log-sum-exp, keeps its dtype. One that needs no argument, as a sum
    # no weight, gives it no gradient.
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
    """None where the gradients of `call` have at most twice the error of eager's, and one rounding step."""
    exact = gradients(spec, spec.reference, tuple(map(to_double, args)), output)
    eager = gradients(spec, spec.yardstick, args, output)
    got = gradients(spec, call, args, output)
    names = [n for n, a in zip(spec.gradients, leaves_of(spec, args)[1], strict=False) if a is not None]
    for name, y, own, want in zip(names, got, eager, exact, strict=True):
        if y.shape != want.shape or y.dtype != own.dtype:
            return f"gradient of {name} is {list(y.shape)} {y.dtype}, expected {list(want.shape)} {own.dtype}"
        if not want.numel() or not torch.isfinite(want).all():
            continue
        scale = want.abs().max().item()
        allowed = 2 * (own.double() - want).abs().max().item() + torch.finfo(own.dtype).eps * scale
        if not (error := (y.double() - want).abs().max().item()) <= allowed:
            return f"gradient of {name}: error {error:.3e} against float64, allowed {allowed:.3e}"
    return None


def small_enough(args: tuple[Any, ...]) -> bool:
    return max(a.numel() for a in args if isinstance(a, torch.Tensor)) <= ELEMENTS


def test_reference_is_differentiated_rightly(spec: OpSpec, device: str) -> None:
    """The yardstick itself: autograd of the reference against finite differences in float64."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    given, _ = leaves_of(spec, tuple(map(to_double, spec.sized(1, torch.float32, device))))
    assert torch.autograd.gradcheck(
        lambda *args: tuple(r for r in spec.results(spec.reference(*args)) if r.requires_grad), given, fast_mode=True
    )


@registered
def test_gradient(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    call, wrong = route.functional(spec), []
    for sample in spec.samples(dtype, device):
        if small_enough(sample.args) and (message := wrong_gradient(spec, call, sample.args)):
            wrong.append(f"{sample.id}: {message}")
    assert not wrong, "; ".join(wrong)


@registered
def test_gradient_through_each_output(spec: OpSpec, dtype: torch.dtype, route: Route, device: str) -> None:
    """Each output alone, as a loss of the log-sum-exps alone; the others have no gradient then."""
    outputs = sum(r.is_floating_point() for r in spec.empty_outputs(*spec.sized(1, dtype, device)))
    if not spec.gradients or outputs < 2:
        pytest.skip("the op has no gradient, or one output")
    call, wrong = route.functional(spec), []
    for sample in spec.samples(dtype, device):
        if sample.args[0].shape[-1] == 1:
            continue  # a norm of one element: its gradient is a difference of equal terms, eager's error of it luck
        for output in range(outputs):
            if small_enough(sample.args) and (message := wrong_gradient(spec, call, sample.args, output)):
                wrong.append(f"{sample.id}, output {output}: {message}")
    assert not wrong, "; ".join(wrong)


@registered
def test_unused_output_of_rope(route: Route, device: str) -> None:
    """It adds nothing to the gradients of the tables, not even 0 * inf, and its argument has none, as in eager."""
    from shared_tests.ops.rope import SPEC

    args = SPEC.sized(2, torch.float32, device)
    for unused in range(2):
        inputs = (*(torch.full_like(x, torch.inf) if i == unused else x for i, x in enumerate(args[:2])), *args[2:])
        results = []
        for call in (SPEC.reference, route.functional(SPEC)):
            leaves = leaves_of(SPEC, inputs)
            output = SPEC.results(call(*leaves[0]))[1 - unused]
            results.append(torch.autograd.grad(output.square().sum(), leaves[1], allow_unused=True))
        for eager, got in zip(*results, strict=True):
            assert (eager is None) == (got is None)
            if eager is not None:
                assert eager.isfinite().all()
                torch.testing.assert_close(got, eager)


def test_every_floating_argument_has_a_gradient(spec: OpSpec, device: str) -> None:
    """An op that is differentiable in some of its arguments is so in all, and through all its outputs."""
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
    given, _ = leaves_of(spec, args)
    assert all(r.requires_grad for r in spec.results(spec.reference(*given)) if r.is_floating_point())


@registered
def test_gradient_of_some_arguments(spec: OpSpec, route: Route, device: str) -> None:
    """One argument at a time requires a gradient; the operator as PyTorch has it, and under torch.compile."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = spec.sized(2, spec.dtypes[0], device)
    names = [a.name for a in spec.parsed.arguments]
    for name in spec.gradients:
        place = names.index(name)
        if not isinstance(args[place], torch.Tensor):
            continue
        found = []
        for call in (spec.reference, route.functional(spec), route.overload(spec)):
            leaf = args[place].detach().clone().requires_grad_()
            outputs = spec.results(call(*args[:place], leaf, *args[place + 1 :]))
            torch.stack([(r.float() * r.float()).sum() for r in outputs if r.is_floating_point()]).sum().backward()
            assert leaf.grad is not None, name
            found.append(leaf.grad)
        for got in found[1:]:
            torch.testing.assert_close(got, found[0], rtol=1e-3, atol=1e-4 * (1 + found[0].abs().max().item()))


@registered
def test_gradient_in_a_compiled_function(route: Route, device: str) -> None:
    from shared_tests.ops.rms_norm import SPEC

    torch._dynamo.reset()
    args = SPEC.sized(2, torch.float32, device)
    compiled = torch.compile(route.functional(SPEC), fullgraph=True)
    want, got = gradients(SPEC, route.functional(SPEC), args), gradients(SPEC, compiled, args)
    for g, w in zip(got, want, strict=True):
        assert torch.equal(g, w)
