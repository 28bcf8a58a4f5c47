"""Derived fake kernels raise the same errors as real calls, for static, symbolic and unbacked sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.decorators import mark_unbacked
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from shared_tests.accuracy import expected, mismatch
from shared_tests.conftest import routes_where
from shared_tests.routes import Route
from shared_tests.spec import OpSpec, all_specs

registered = routes_where(lambda route: route.namespace is not None)
sizes = pytest.mark.parametrize("symbolic", [False, True], ids=["static", "symbolic"])


def to_fake(args: tuple[Any, ...], symbolic: bool) -> tuple[FakeTensorMode, tuple[Any, ...]]:
    """Fake tensors with the same metadata, which share memory where the real ones do."""
    mode = FakeTensorMode(shape_env=ShapeEnv() if symbolic else None)

    def fake(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if not symbolic:
            return mode.from_tensor(value)
        dynamic: StatelessSymbolicContext = StatelessSymbolicContext([DimDynamic.DYNAMIC] * value.dim())
        return mode.from_tensor(value, static_shapes=False, symbolic_context=dynamic)

    return mode, tuple(map(fake, args))


def refusal(call: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    """The first line of the error that a call raises, or None if it raises none."""
    try:
        call(*args)
    except (ValueError, TypeError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None


def fake_refusal(call: Callable[..., Any], args: tuple[Any, ...], symbolic: bool) -> str | None:
    mode, fakes = to_fake(args, symbolic)
    with mode:
        return refusal(call, fakes)


def without_values(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with zeros instead of integer values, which only a real call can check."""
    integers = (torch.int32, torch.int64)
    return tuple(torch.zeros_like(a) if isinstance(a, torch.Tensor) and a.dtype in integers else a for a in args)


@sizes
@registered
def test_wrong_arguments(spec: OpSpec, route: Route, device: str, symbolic: bool) -> None:
    call = route.overload(spec)
    for sample in spec.error_samples(device):
        message = refusal(call, without_values(sample.args))
        assert fake_refusal(call, sample.args, symbolic) == message, sample.id


@sizes
@registered
def test_wrong_outputs(spec: OpSpec, route: Route, device: str, symbolic: bool) -> None:
    """Outputs with a wrong shape, dtype, layout or device, or in the memory of an argument."""
    if spec.mutates:
        pytest.skip("an op that writes its arguments has no other outputs")
    args = spec.sized(2, spec.dtypes[0], device)
    *leading_outputs, last_output = spec.empty_outputs(*args)
    call = route.out(spec)
    assert call is not None
    wrong_outputs = {
        "none": last_output,
        "shape": last_output.new_empty((*last_output.shape, 1)),
        "dtype": torch.empty_like(last_output, dtype=torch.int16),
        "contiguous": last_output.new_empty((*last_output.shape, 2))[..., 0],
        "device": torch.empty_like(last_output, device="meta"),
        "overlap": args[0],
    }
    for kind, output in wrong_outputs.items():
        all_args = (*args, *leading_outputs, output)
        message = refusal(call, all_args)
        assert message or kind in ("none", "overlap"), kind
        assert fake_refusal(call, all_args, symbolic) == message, kind


@sizes
@registered
def test_written_arguments_that_overlap(spec: OpSpec, route: Route, device: str, symbolic: bool) -> None:
    if len(spec.mutates) < 2:
        pytest.skip("the op does not write two of its arguments")
    first, second = spec.mutates[:2]
    args = list(spec.sized(2, spec.dtypes[0], device))
    args[second] = args[first]
    message = refusal(route.overload(spec), tuple(args))
    assert message
    assert "overlaps" in message
    assert fake_refusal(route.overload(spec), tuple(args), symbolic) == message


def mixed_sizes(spec: OpSpec, device: str) -> Iterator[tuple[Any, ...]]:
    """Calls in which one tensor has the sizes of another call."""
    small, large = (spec.sized(n, spec.dtypes[0], device) for n in (2, 3))
    for i, value in enumerate(large):
        if isinstance(value, torch.Tensor):
            yield (*small[:i], value, *small[i + 1 :])


@registered
def test_compiled_call_checks_sizes_that_it_was_not_traced_with(spec: OpSpec, route: Route, device: str) -> None:
    """A single graph with unbacked symbolic sizes serves all calls, including those that a real call rejects."""
    if spec.mutates:
        pytest.skip("its functional form copies the arguments that it writes, and the copies have other symbolic sizes")
    op, counter = route.overload(spec), CompileCounter()
    torch._dynamo.reset()

    compiled = torch.compile(lambda *args: op(*args), fullgraph=True, backend=counter)

    def call(*args: Any) -> Any:
        for tensor in args:
            if isinstance(tensor, torch.Tensor):
                mark_unbacked(tensor, list(range(tensor.dim())))
        return compiled(*args)

    for n in (2, 3, 5):
        args = spec.sized(n, spec.dtypes[0], device)
        assert mismatch(spec, expected(spec, args), call(*args)) is None
    for args in mixed_sizes(spec, device):
        if message := refusal(op, args):
            with pytest.raises((ValueError, RuntimeError)) as error_info:
                call(*args)
            assert message in str(error_info.value)
    assert counter.frame_count == 1


def test_rows_that_a_mask_selects_are_exported(device: str) -> None:
    """The numbers of rows are known only at run time, and so is whether they are equal."""

    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
            selected_x, selected_y = x[x[:, 0] > 0], y[y[:, 0] > 0]
            values, indices = torch.ops.cpp_ext.top_k(selected_x, 2)
            return (
                torch.ops.cpp_ext.add(selected_x, selected_y),
                torch.ops.cpp_ext.silu_and_mul(selected_x),
                values,
                indices,
            )

    pytest.importorskip("cpp_ext", exc_type=ImportError)
    x = torch.tensor([[1.0, 2, 3, 4], [-1, 2, 3, 4], [5, 6, 7, 8]], device=device)
    program = torch.export.export(Module(), (x, x.clone()), strict=True).module()
    for value in (x, x.abs()):
        for actual, expected_result in zip(program(value, value), Module()(value, value), strict=True):
            assert torch.equal(actual, expected_result)
    with pytest.raises(RuntimeError, match=r"add: b has shape \[2, 4\], expected \[3, 4\], the shape of a"):
        program(x.abs(), x)


@pytest.mark.parametrize("name", ["top_k", "linear_w8"])
@routes_where(lambda route: route.namespace is not None)
def test_more_dimensions_than_a_computed_shape_holds(route: Route, name: str, device: str) -> None:
    for tensor_device in (device, "meta"):
        x = torch.ones((1,) * 65, device=tensor_device)
        weight = torch.ones(2, 1, dtype=torch.int8, device=tensor_device)
        args = (1,) if name == "top_k" else (weight, torch.ones(2, device=tensor_device), None)
        with pytest.raises((RuntimeError, ValueError), match=f"{name}: x has 65 dimensions, expected at most 64"):
            route.overload(all_specs()[name])(x, *args)
