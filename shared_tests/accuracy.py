"""The tolerance rule: an implementation earns its tolerance from eager PyTorch's own error.

An output passes when its error against the float64 reference is at most twice the error of eager PyTorch in the
same dtype plus one rounding step of that dtype at the output's scale. A fixed absolute tolerance is not enough:
with atol 1e-2 an all-zeros softmax over a long row passes.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch

from shared_tests.spec import OpSpec, all_specs


@dataclass(frozen=True)
class Expected:
    """What a call must give: per output the float64 reference, eager's result and the error allowed."""

    exact: tuple[torch.Tensor, ...]
    eager: tuple[torch.Tensor, ...]
    allowed: tuple[float, ...]


def to_double(value: Any) -> Any:
    """A floating tensor in float64; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.double()
    return value


def _largest(x: torch.Tensor) -> float:
    """The largest magnitude among the finite elements, 0 where there are none."""
    if not x.numel():
        return 0.0
    most = x.abs().max().item()
    if not math.isfinite(most):
        finite = x[torch.isfinite(x)]
        most = finite.abs().max().item() if finite.numel() else 0.0
    return most


def _error(result: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest absolute error, in float64, among the elements where both are finite; 0 where there are none."""
    if not result.numel():
        return 0.0
    apart = result.to(torch.float64, copy=True).sub_(exact.double())
    least, most = (end.item() for end in torch.aminmax(apart))
    # Finite ends say that all of both are finite. Choosing such elements first took four times as long.
    if not (math.isfinite(least) and math.isfinite(most)):
        apart = apart[torch.isfinite(result) & torch.isfinite(exact)]
        least, most = (end.item() for end in torch.aminmax(apart)) if apart.numel() else (0.0, 0.0)
    return max(-least, most)


def _finite(x: torch.Tensor) -> bool:
    """Whether all elements are finite: both ends are not-a-number where one element is."""
    return not x.numel() or all(math.isfinite(end.item()) for end in torch.aminmax(x))


@functools.cache
def relative_errors(name: str, dtype: torch.dtype, device: str) -> tuple[float, ...]:
    """Eager's error for each output of an op, as a share of the largest value there: the worst of four plain calls."""
    spec = all_specs()[name]
    worst: list[float] = []
    for n in range(1, 5):
        args = spec.sized(n, dtype, device)
        exact, eager = spec.results(spec.reference(*map(to_double, args))), spec.results(spec.yardstick(*args))
        shares = [_error(e, x) / max(_largest(x), 1e-30) for e, x in zip(eager, exact, strict=True)]
        worst = [max(pair) for pair in zip(worst or shares, shares, strict=True)]
    return tuple(worst)


def expected(spec: OpSpec, args: tuple[Any, ...], least: tuple[float, ...] = ()) -> Expected:
    """Reference results for a call and the error its dtype has earned.

    Args:
        least: relative errors that eager is known to make, for calls of a few elements, where luck may leave it none.
    """
    exact = spec.results(spec.reference(*map(to_double, args)))
    eager = spec.results(spec.yardstick(*args))
    allowed = []
    for i, (e, x) in enumerate(zip(eager, exact, strict=True)):
        step = torch.finfo(e.dtype).eps * _largest(x) if e.is_floating_point() else 0.0
        error = max(_error(e, x), least[i] * _largest(x) if least else 0.0)
        allowed.append(2 * error + step + spec.absolute_slack.get(e.dtype, 0.0))
    return Expected(exact, eager, tuple(allowed))


def left_open(spec: OpSpec, output: torch.Tensor) -> bool:
    """Whether PyTorch's own op may give another right output than the one that the spec asks for."""
    return not spec.eager_is_exact and not output.is_floating_point()


def mismatch(spec: OpSpec, want: Expected, value: Any, contiguous: bool = True) -> str | None:
    """None when `value` is a right result of the call, else one sentence that says what is wrong with it.

    Args:
        contiguous: hold the result to the ops' contract; eager PyTorch keeps its input's strides instead, and may leave
            open what the spec asks for (`eager_is_exact`): then its indices are not looked at.
    """
    got = spec.results(value)
    if len(got) != len(want.exact):
        return f"{spec.name} returned {len(got)} tensors, expected {len(want.exact)}"
    for i, (y, exact, eager, allowed) in enumerate(zip(got, want.exact, want.eager, want.allowed, strict=True)):
        where = f"{spec.name} output {i}"
        if y.shape != eager.shape or y.dtype != eager.dtype or y.device != eager.device:
            return (
                f"{where} is {list(y.shape)} {y.dtype} on {y.device}, "
                f"expected {list(eager.shape)} {eager.dtype} on {eager.device}"
            )
        if not contiguous and left_open(spec, y):
            continue
        if contiguous and not y.is_contiguous():
            return f"{where} is not contiguous: strides {y.stride()}"
        if y.is_floating_point() and not (_finite(y) and _finite(eager)):
            for name, test in (("NaN", torch.isnan), ("+inf", torch.isposinf), ("-inf", torch.isneginf)):
                wrong = test(y) != test(eager)
                if wrong.any():
                    return f"{where}: {int(wrong.sum())} elements where {name} should be and is not, or the reverse"
        if not (error := _error(y, exact)) <= allowed:
            return f"{where}: error {error:.3e} against float64, allowed {allowed:.3e}"
    return None
