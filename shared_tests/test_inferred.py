"""Tests the argument checks of the Mojo library that Python calls if no CPU kernel runs, such as on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from shared_tests.spec import OpSpec

pytest.importorskip("mojo_ops.aot", exc_type=ImportError)
infer = pytest.importorskip("mojo_ops.infer", exc_type=ImportError)
symbols = pytest.importorskip("mojo_ops.symbols", exc_type=ImportError)


def refusal(call: Callable[..., Any], args: tuple[Any, ...]) -> str:
    with pytest.raises((TypeError, ValueError, RuntimeError)) as error_info:
        call(*args)
    return str(error_info.value).splitlines()[0]


def test_a_wrong_call_is_refused_as_by_the_kernel(spec: OpSpec) -> None:
    """Raises the same message, as TypeError for a wrong dtype."""
    overload = getattr(torch.ops.mojo_aot, spec.name).default
    check = infer.inferred(overload)
    for sample in spec.error_samples("cpu"):
        reason = refusal(overload, sample.args)
        if reason.startswith(f"{spec.name}: "):  # otherwise the dispatcher rejects the type of an argument
            assert refusal(check, sample.args) == reason, sample.id
            wrong_type = "has dtype" in reason or "is None" in reason
            with pytest.raises(TypeError if wrong_type else ValueError):
                check(*sample.args)


def test_outputs_are_those_of_the_kernel(spec: OpSpec) -> None:
    if spec.mutates:
        pytest.skip("an op that writes its arguments returns nothing")
    overload = getattr(torch.ops.mojo_aot, spec.name).default
    args = spec.sized(3, spec.dtypes[0], "cpu")
    for inferred, computed in zip(
        spec.results(infer.inferred(overload)(*args)), spec.results(overload(*args)), strict=True
    ):
        assert (inferred.shape, inferred.stride(), inferred.dtype) == (
            computed.shape,
            computed.stride(),
            computed.dtype,
        )


def test_a_size_that_is_no_quotient_of_a_symbol_is_refused() -> None:
    sizes = symbols.Symbols()
    tensor = FakeTensorMode(shape_env=ShapeEnv()).from_tensor(torch.ones(6, 10))
    first, second, fixed = sizes.replace([*tensor.shape, 7])
    assert [sizes.size(n) for n in (first, second // 3, fixed)] == [tensor.shape[0], tensor.shape[1] // 3, 7]
    for size in (first + second, first + 1, 2 * second):
        with pytest.raises(RuntimeError, match="not supported"):
            sizes.size(size)
