"""Every derivative of an op is right, or is refused by an error that names the op. None is silently missing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.testing._internal.two_tensor import TwoTensor

from shared_tests.accuracy import to_double
from shared_tests.child import run_child
from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec
from shared_tests.tensors import randn
from shared_tests.test_gradients import floating, leaves_of

BATCHED_ELEMENTS = 1 << 10  # samples with a larger argument are not tested with batched gradients

registered = routes_where(lambda route: route.namespace is not None)
Args = tuple[Any, ...]


def arguments(spec: OpSpec, device: str, size: int = 2) -> Args:
    return spec.sized(size, spec.dtypes[0], device)


def float_places(args: Args) -> list[int]:
    """Positions of the floating-point tensors."""
    return [i for i, a in enumerate(args) if isinstance(a, torch.Tensor) and a.is_floating_point()]


def name_of(spec: OpSpec, place: int) -> str:
    return spec.parsed.arguments[place].name


def with_leaf(args: Args, place: int) -> Args:
    """The arguments, with the one at `place` replaced by a leaf that requires grad."""
    return (*args[:place], args[place].detach().clone().requires_grad_(), *args[place + 1 :])


def forms(spec: OpSpec, route: Route) -> dict[str, Callable[..., Any]]:
    """The ways to call an op on a registered route that record a gradient if the op has one."""
    return {"typed function": route.functional(spec), "overload": spec.functional(route.overload(spec))}


def forms_without_gradient(spec: OpSpec, route: Route) -> dict[str, Callable[..., Any]]:
    """The overloads that write into an argument or have no gradient formula; outputs are passed by name."""
    if spec.mutates:
        return {"in place": route.overload(spec), "typed, in place": route.call(spec)}
    overloads = {"out": route.overload(spec, "out")}
    if floating(spec):
        overloads["no_grad"] = route.overload(spec, "no_grad")
    return overloads


def outputs_of(spec: OpSpec, form: str, args: Args) -> dict[str, torch.Tensor]:
    return dict(zip(spec.out_names, spec.empty_outputs(*args), strict=True)) if form == "out" else {}


# Second derivatives


def scalars(spec: OpSpec, results: Any, weighted: bool) -> torch.Tensor:
    """The sum of all differentiable outputs. Unweighted, it gives them a gradient that does not require grad itself."""
    outputs = [r for r in spec.results(results) if r.is_floating_point() and r.requires_grad]
    weights = [randn(tuple(r.shape), torch.float32, str(r.device), seed=str(i)) for i, r in enumerate(outputs)]
    total = [(r * w.to(r.dtype) if weighted else r).sum() for r, w in zip(outputs, weights, strict=True)]
    return torch.stack([t.double() for t in total]).sum()


def second_derivatives(
    spec: OpSpec, call: Callable[..., Any], args: Args, weighted: bool
) -> tuple[list[bool], list[torch.Tensor]]:
    """Whether each first derivative requires grad, and the derivatives of the sum of squares of the first ones."""
    inputs, leaves = leaves_of(spec, args)
    first = torch.autograd.grad(scalars(spec, call(*inputs), weighted), leaves, create_graph=True)
    differentiable = [g.requires_grad for g in first]
    if not any(differentiable):
        return differentiable, [torch.zeros_like(leaf) for leaf in leaves]
    total = torch.stack([g.double().square().sum() for g in first]).sum()
    return differentiable, list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))


@registered
@pytest.mark.parametrize("weighted", [False, True], ids=["sum", "weighted"])
def test_second_derivative_is_right_or_refused(spec: OpSpec, route: Route, device: str, weighted: bool) -> None:
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = arguments(spec, device)
    is_differentiable, exact = second_derivatives(spec, spec.reference, tuple(map(to_double, args)), weighted)
    _, eager = second_derivatives(spec, spec.reference, args, weighted)
    for form, call in forms(spec, route).items():
        try:
            keeps_graph, actual = second_derivatives(spec, call, args, weighted)
        except RuntimeError as error:
            if "_backward: " not in str(error):
                raise
            continue
        assert keeps_graph == is_differentiable, f"{form}: a first derivative left its graph"
        for name, derivative, eager_derivative, exact_derivative in zip(
            spec.gradients, actual, eager, exact, strict=False
        ):
            allowed = 4 * (eager_derivative - exact_derivative).abs().max() + 1e-6 * exact_derivative.abs().max()
            assert (derivative - exact_derivative).abs().max() <= allowed, f"{form}: second derivative of {name}"


@registered
@pytest.mark.parametrize("function", ["hessian", "vhp", "hvp", "jvp"])
def test_torch_autograd_functional(spec: OpSpec, route: Route, device: str, function: str) -> None:
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    # A Hessian takes a backward pass for each element of the argument.
    args = arguments(spec, device, size=1 if function == "hessian" else 2)
    place = float_places(args)[0]

    def run(call: Callable[..., Any], args: Args) -> torch.Tensor:
        def scalar(x: torch.Tensor) -> torch.Tensor:
            outputs = spec.results(call(*args[:place], x, *args[place + 1 :]))
            return torch.stack([(r * r).sum() for r in outputs if r.is_floating_point()]).sum()

        x = args[place]
        vector = () if function == "hessian" else (torch.ones_like(x),)
        value = getattr(torch.autograd.functional, function)(scalar, x, *vector)
        return value if function == "hessian" else value[1]

    expected = run(spec.reference, args)
    for form, call in forms(spec, route).items():
        try:
            actual = run(call, args)
        except RuntimeError as error:
            if "_backward: " not in str(error):
                raise
            continue
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4 * (1 + expected.abs().max().item()), msg=form)


@registered
def test_a_gradient_op_refuses_when_it_is_differentiated(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.name.endswith("_backward"):
        pytest.skip("the op is no gradient")
    args = arguments(spec, device)
    for place in float_places(args):
        for call in forms(spec, route).values():
            results = spec.results(call(*with_leaf(args, place)))
            assert all(r.requires_grad for r in results)
            with pytest.raises(RuntimeError, match=f"{spec.name}: "):
                torch.stack([r.double().sum() for r in results]).sum().backward()


@registered
@pytest.mark.filterwarnings("error:There is a performance drop")  # vmap warns if it calls an op per element
def test_batched_gradients(spec: OpSpec, route: Route, device: str) -> None:
    """`is_grads_batched=True` gives the same as one call per element of the batch."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    for sample in spec.samples(spec.dtypes[0], device):
        if not 0 < max(a.numel() for a in sample.args if isinstance(a, torch.Tensor)) <= BATCHED_ELEMENTS:
            continue
        inputs, leaves = leaves_of(spec, sample.args)
        outputs = [r for r in spec.results(route.functional(spec)(*inputs)) if r.is_floating_point()]
        batches = [randn((2, *r.shape), r.dtype, device, seed=str(i)) for i, r in enumerate(outputs)]
        batched = torch.autograd.grad(outputs, leaves, batches, is_grads_batched=True, retain_graph=True)
        separate = [torch.autograd.grad(outputs, leaves, [b[i] for b in batches], retain_graph=True) for i in range(2)]
        for batched_grad, stacked_grad in zip(batched, map(torch.stack, zip(*separate, strict=True)), strict=True):
            torch.testing.assert_close(batched_grad, stacked_grad, equal_nan=True, msg=sample.id)


# Ops without a gradient, and overloads without one


@registered
def test_missing_gradient_is_refused_at_the_call(spec: OpSpec, route: Route, device: str) -> None:
    if spec.gradients or not floating(spec) or spec.name.endswith("_backward"):
        pytest.skip("the op has a gradient, is one, or takes no floating-point tensors")
    args = arguments(spec, device)
    for place in float_places(args):
        inputs = with_leaf(args, place)
        message = rf"{spec.name}: {name_of(spec, place)} requires grad.*torch\.no_grad\(\)"
        for call in (route.call(spec), route.overload(spec)):
            with pytest.raises(RuntimeError, match=message):
                call(*inputs)
            torch._dynamo.reset()
            with pytest.raises(Exception, match=message):
                torch.compile(call, backend="aot_eager", fullgraph=True)(*inputs)
        with torch.no_grad():
            for result, expected in zip(
                spec.results(route.functional(spec)(*inputs)), spec.results(route.functional(spec)(*args)), strict=True
            ):
                assert torch.equal(result, expected)


@registered
def test_overload_without_gradient_refuses(spec: OpSpec, route: Route, device: str) -> None:
    """Like `torch.add(a, b, out=o)`, an overload raises if an input or output requires grad and grad mode is on."""
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args = arguments(spec, device)
    for form, call in forms_without_gradient(spec, route).items():
        outputs = outputs_of(spec, form, args)
        for place in float_places(args):
            with pytest.raises(RuntimeError, match=f"{spec.name}: {name_of(spec, place)} requires grad"):
                call(*with_leaf(args, place), **outputs)
        for name, output in outputs.items():
            if output.is_floating_point():
                with pytest.raises(RuntimeError, match=f"{spec.name}: {name} requires grad"):
                    call(*args, **{**outputs, name: output.clone().requires_grad_()})


@registered
def test_overload_without_gradient_refuses_a_wrapper_subclass(spec: OpSpec, route: Route, device: str) -> None:
    """An error is raised if a wrapper requires grad or has a tangent, although the tensors inside it do not."""
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args = arguments(spec, device)
    for form, call in forms_without_gradient(spec, route).items():
        outputs = outputs_of(spec, form, args)
        for place in float_places(args):
            x = TwoTensor(args[place].clone(), args[place].clone())
            other_args = args[:place], args[place + 1 :]
            with pytest.raises(RuntimeError, match=f"{spec.name}: {name_of(spec, place)} requires grad"):
                call(*other_args[0], x.clone().requires_grad_(), *other_args[1], **outputs)
            with (
                forward_ad.dual_level(),
                pytest.raises(RuntimeError, match=f"{spec.name}: {name_of(spec, place)} has a tangent"),
            ):
                call(*other_args[0], forward_ad.make_dual(x, x.clone()), *other_args[1], **outputs)
    if spec.mutates:
        return
    wrapped = [TwoTensor(a, a) if isinstance(a, torch.Tensor) else a for a in args]
    results: Any = spec.results(route.overload(spec, "no_grad")(*wrapped))
    for result, expected in zip(results, spec.results(route.functional(spec)(*args)), strict=True):
        assert torch.equal(result.a, expected)
        assert torch.equal(result.b, expected)


@registered
def test_overload_without_gradient_works_where_none_is_recorded(spec: OpSpec, route: Route, device: str) -> None:
    if not floating(spec) or spec.mutates:
        pytest.skip("the op takes no floating-point tensors, or writes them")
    args = arguments(spec, device)
    inputs = tuple(a.detach().requires_grad_() if i in float_places(args) else a for i, a in enumerate(args))
    expected = spec.results(route.functional(spec)(*args))
    with torch.no_grad():
        outputs = [
            output.requires_grad_() if output.is_floating_point() else output for output in spec.empty_outputs(*args)
        ]
        route.overload(spec, "out")(*inputs, **dict(zip(spec.out_names, outputs, strict=True)))
        results = spec.results(route.overload(spec, "no_grad")(*inputs))
    for out_result, result, expected_result in zip(outputs, results, expected, strict=True):
        assert torch.equal(out_result, expected_result)
        assert torch.equal(result, expected_result)


@registered
def test_overload_without_gradient_refuses_in_a_compiled_function(spec: OpSpec, route: Route, device: str) -> None:
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args = arguments(spec, device)
    place = float_places(args)[0]
    form, call = next(iter(forms_without_gradient(spec, route).items()))
    torch._dynamo.reset()
    compiled = torch.compile(lambda *a, **named: call(*a, **named), backend="aot_eager", fullgraph=True)
    with pytest.raises(Exception, match=f"{spec.name}: {name_of(spec, place)} requires grad"):
        compiled(*with_leaf(args, place), **outputs_of(spec, form, args))
    with torch.no_grad():
        leaf = args if spec.mutates else with_leaf(args, place)
        compiled(*leaf, **outputs_of(spec, form, args))


@routes_where(lambda route: route.ours and route.namespace is None)
def test_route_without_autograd_refuses(spec: OpSpec, route: Route, device: str) -> None:
    """Functions that are not registered with the dispatcher have no gradient and raise an error that says so."""
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args, call = arguments(spec, device), route.call(spec)
    for place in float_places(args):
        with pytest.raises(RuntimeError, match=f"{spec.name}: {name_of(spec, place)} requires grad"):
            call(*with_leaf(args, place))
        with forward_ad.dual_level(), pytest.raises(RuntimeError, match=f"{spec.name}: .* has a tangent"):
            call(*args[:place], forward_ad.make_dual(args[place], args[place]), *args[place + 1 :])


@registered
def test_the_compiled_entry_refuses(spec: OpSpec, route: Route, device: str) -> None:
    """The compiled entry raises the error, not a Python function, which would cost microseconds per call."""
    if not spec.mutates:
        kernels = torch._C._dispatch_dump(f"{route.namespace}::{route.overload(spec, 'out').name().split('::')[1]}")
        assert re.search(r"Autograd\[alias\]: .*fallthrough", kernels)


HIDDEN = """
        original = ctypes.CDLL
        def hidden(name, *args, **named):
            if name == "libc10.so":
                raise OSError(name)
            return original(name, *args, **named)
        ctypes.CDLL = hidden
"""
NEWER = """
        torch.__version__ = torch.torch_version.TorchVersion("2.99.0")
"""


@pytest.mark.parametrize("change", [HIDDEN, NEWER], ids=["no such symbols", "a newer PyTorch"])
@pytest.mark.parametrize(("package", "namespace"), [("cpp_ext", "cpp_ext"), ("mojo_ops.aot", "mojo_aot")])
def test_refusals_in_python(package: str, namespace: str, change: str) -> None:
    """The compiled entries ask libc10 by symbols that nothing promises; without them Python asks, for all forms."""
    pytest.importorskip(package, exc_type=ImportError)
    child = run_child(
        f"""
        import ctypes, importlib, torch
{change}
        importlib.import_module({package!r})
        ops = torch.ops.{namespace}
        a = torch.ones(2, requires_grad=True)
        for call in (
            lambda: ops.add.out(a, a.detach(), out=torch.empty(2)),
            lambda: ops.add.no_grad(a, a.detach()),
            lambda: ops.fused_add_rms_norm(a, a.detach(), a.detach(), 1e-6),
        ):
            try:
                call()
            except RuntimeError as error:
                assert "requires grad" in str(error), error
            else:
                raise SystemExit("not refused")
        out = torch.empty(2)
        ops.add.out(a.detach(), a.detach(), out=out)
        assert out.tolist() == [2, 2]
        ops.add(a, a.detach()).sum().backward()
        assert a.grad.tolist() == [1, 1]
        print("refused")
        """,
        timeout=120,
    )
    assert child.code == 0, str(child)
    assert "refused" in child.output


# Forward-mode automatic differentiation


@registered
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_forward_mode_is_refused(spec: OpSpec, route: Route, device: str) -> None:
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args = arguments(spec, device)
    for place in float_places(args):
        x = args[place]

        def call_at(x: torch.Tensor, call: Callable[..., Any], named: Any, place: int = place) -> Any:
            return call(*args[:place], x, *args[place + 1 :], **named)

        calls = {**forms(spec, route), **forms_without_gradient(spec, route)}
        for form, call in calls.items():
            named = outputs_of(spec, form, args)
            with forward_ad.dual_level(), pytest.raises(RuntimeError, match=f"{spec.name}: .*(tangent|forward-mode)"):
                call_at(forward_ad.make_dual(x, torch.ones_like(x)), call, named)
            with pytest.raises(RuntimeError, match=f"{spec.name}.*(forward-mode|transforms)"):
                torch.func.jvp(lambda x: call_at(x, call, named), (x,), (torch.ones_like(x),))  # noqa: B023
        for call in forms(spec, route).values():
            with pytest.raises(RuntimeError, match=f"{spec.name}: .*(forward-mode|transforms)"):
                torch.func.jacfwd(lambda x: call_at(x, call, {}))(x)  # noqa: B023


REFUSED = "(tangent|forward-mode|transforms)"


def double_sum(spec: OpSpec, results: Any) -> torch.Tensor:
    return torch.stack([r.double().sum() for r in spec.results(results) if r.is_floating_point()]).sum()


@registered
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
def test_forward_mode_is_refused_in_every_grad_mode(
    spec: OpSpec, route: Route, device: str, mode: Callable[[], Any]
) -> None:
    """Tangents do not depend on grad mode. In inference mode they may be lost, as in PyTorch's own ops."""
    if not floating(spec):
        pytest.skip("the op takes no floating-point tensors")
    args = arguments(spec, device)
    place = float_places(args)[0]
    x = args[place]
    unit = torch.ones((), dtype=torch.float64, device=device)
    for call in forms(spec, route).values():

        def call_at(x: torch.Tensor, call: Callable[..., Any] = call) -> Any:
            return call(*args[:place], x, *args[place + 1 :])

        def call_in_mode(x: torch.Tensor, call_at: Callable[[torch.Tensor], Any] = call_at) -> Any:
            with mode():
                return call_at(x)

        def gradient(x: torch.Tensor, call_in_mode: Callable[[torch.Tensor], Any] = call_in_mode) -> torch.Tensor:
            return torch.func.grad(lambda y: y * double_sum(spec, call_in_mode(x)))(unit)

        with mode(), pytest.raises(RuntimeError, match=f"{spec.name}: .*{REFUSED}"):
            torch.func.jvp(call_at, (x,), (torch.ones_like(x),))
        if mode is torch.inference_mode:
            continue
        for function in (call_in_mode, gradient):
            with pytest.raises(RuntimeError, match=f"{spec.name}: .*{REFUSED}"):
                torch.func.jvp(function, (x,), (torch.ones_like(x),))
        with forward_ad.dual_level(), pytest.raises(RuntimeError, match=f"{spec.name}: .*{REFUSED}"):
            torch.vmap(call_in_mode)(forward_ad.make_dual(x[None], torch.ones_like(x[None])))


# torch.func


@registered
def test_torch_func_grad_of_a_part_without_grad_mode(spec: OpSpec, route: Route, device: str) -> None:
    """Under no_grad, results are constants for all transforms, also for an op that has no gradient."""
    if spec.mutates or not floating(spec):
        pytest.skip("the op writes its arguments, or takes no floating-point tensors")
    args = arguments(spec, device)
    for place in float_places(args):
        for form, call in forms(spec, route).items():

            def scalar(x: torch.Tensor, call: Callable[..., Any] = call, place: int = place) -> torch.Tensor:
                with torch.no_grad():
                    constant = double_sum(spec, call(*args[:place], x, *args[place + 1 :]))
                return constant * x.double().square().sum()

            leaf = args[place].detach().clone().requires_grad_()
            (expected,) = torch.autograd.grad(scalar(leaf), leaf)
            assert expected.any()
            for transform in (torch.func.grad(scalar), torch.func.jacrev(scalar)):
                torch.testing.assert_close(transform(args[place]), expected, msg=f"{form}, {name_of(spec, place)}")


def scalar_of(spec: OpSpec, call: Callable[..., Any], args: Args, place: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def scalar(x: torch.Tensor) -> torch.Tensor:
        outputs = spec.results(call(*args[:place], x, *args[place + 1 :]))
        return torch.stack([r.double().square().sum() for r in outputs if r.is_floating_point()]).sum()

    return scalar


@registered
def test_torch_func_grad(spec: OpSpec, route: Route, device: str) -> None:
    """grad, vmap of grad and jacrev agree with autograd, with respect to every argument."""
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = arguments(spec, device)
    for place in float_places(args):
        for form, call in forms(spec, route).items():
            scalar = scalar_of(spec, call, args, place)
            leaf = args[place].detach().clone().requires_grad_()
            (expected,) = torch.autograd.grad(scalar(leaf), leaf)
            label = f"{form}, {name_of(spec, place)}"
            torch.testing.assert_close(torch.func.grad(scalar)(args[place]), expected, msg=label)
            batch = torch.stack([args[place]] * 3)
            torch.testing.assert_close(
                torch.vmap(torch.func.grad(scalar))(batch), torch.stack([expected] * 3), msg=label
            )
            torch.testing.assert_close(torch.func.jacrev(scalar)(args[place]), expected, msg=label)


@registered
def test_jacrev_of_the_op(spec: OpSpec, route: Route, device: str) -> None:
    if not spec.gradients:
        pytest.skip("the op has no gradient")
    args = spec.sized(1, spec.dtypes[0], device)
    place = float_places(args)[0]

    def first_output(call: Callable[..., Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: spec.results(call(*args[:place], x, *args[place + 1 :]))[0]

    expected = torch.func.jacrev(first_output(spec.reference))(args[place])
    for form, call in forms(spec, route).items():
        actual = torch.func.jacrev(first_output(call))(args[place])
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * (1 + expected.abs().max().item()), msg=form)


@registered
def test_torch_func_refuses_without_a_gradient(spec: OpSpec, route: Route, device: str) -> None:
    if spec.gradients or not floating(spec):
        pytest.skip("the op has a gradient, or takes no floating-point tensors")
    args = arguments(spec, device)
    place = float_places(args)[0]
    for call in (route.call(spec), route.overload(spec)):

        def scalar(x: torch.Tensor, call: Callable[..., Any] = call) -> torch.Tensor:
            results = call(*args[:place], x, *args[place + 1 :])
            return torch.stack([r.double().sum() for r in spec.results(x if results is None else results)]).sum()

        with pytest.raises(RuntimeError, match=spec.name):
            torch.func.grad(scalar)(args[place])


@registered
@pytest.mark.parametrize("dim", [0, 1])
def test_vmap(spec: OpSpec, route: Route, device: str, dim: int) -> None:
    """vmap works over every tensor argument, also nested."""
    if spec.mutates or not floating(spec):
        pytest.skip("the op writes its arguments, or takes no floating-point tensors")
    args = arguments(spec, device)
    for place in float_places(args):
        batch = torch.stack([args[place], args[place].flip(0)], min(dim, args[place].dim()))
        batch_dim = min(dim, args[place].dim())
        dims = tuple(batch_dim if i == place else None for i in range(len(args)))
        for form, call in forms(spec, route).items():
            batched = spec.results(torch.vmap(call, dims)(*args[:place], batch, *args[place + 1 :]))
            separate = [spec.results(call(*args[:place], x, *args[place + 1 :])) for x in batch.unbind(batch_dim)]
            for batched_result, stacked_result in zip(
                batched, map(torch.stack, zip(*separate, strict=True)), strict=True
            ):
                assert torch.equal(batched_result, stacked_result), f"{form}, {name_of(spec, place)}"


@registered
def test_functionalize(spec: OpSpec, route: Route, device: str) -> None:
    if spec.mutates:
        pytest.skip("PyTorch itself refuses a custom op that writes its arguments")
    args = arguments(spec, device)
    for form, call in forms(spec, route).items():
        expected = spec.results(call(*args))
        for result, expected_result in zip(spec.results(torch.func.functionalize(call)(*args)), expected, strict=True):
            assert torch.equal(result, expected_result), form
