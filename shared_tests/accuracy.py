"""The tolerance rule: twice the error of eager PyTorch, or the rounding error of the arithmetic itself.

An element of an output passes when its error against the float64 reference is at most the larger of

- twice the largest error of eager PyTorch in the same dtype on the same call, and
- its floor: an upper bound on the rounding error of the op's formula in float32 and of storing the result.

In a large output, eager's error reflects its method. In an output of a few elements it is luck and may be zero, so the
floor decides there. Each element has a floor of its own. docs/tolerances.md derives the floor and `rounding.py`
computes it. A fixed absolute tolerance is not enough: with atol 1e-2, an all-zeros softmax over a long row passes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from shared_tests.rounding import Bounded
from shared_tests.spec import OpSpec


@dataclass(frozen=True)
class Expected:
    """What a call must give, for each output.

    exact: the float64 reference.
    eager: eager PyTorch's result.
    eager_limits: twice eager's largest error.
    bound: computes the floors, which are needed only where an error exceeds its limit.
    """

    exact: tuple[torch.Tensor, ...]
    eager: tuple[torch.Tensor, ...]
    eager_limits: tuple[float, ...]
    bound: Callable[[], tuple[torch.Tensor | float, ...]]

    @functools.cached_property
    def floors(self) -> tuple[torch.Tensor | float, ...]:
        """For each output, the rounding error that an element may have whatever the error of eager is."""
        return self.bound()

    @property
    def allowed(self) -> tuple[float, ...]:
        """For each output, the largest error that any element may have, for comparing two results.

        Above a million floating-point elements these are the `eager_limits`, because computing floors takes seconds.
        """
        if any(e.numel() > 1 << 20 and e.is_floating_point() for e in self.eager):
            return self.eager_limits
        floors = (f.max().item() if isinstance(f, torch.Tensor) and f.numel() else 0.0 for f in self.floors)
        return tuple(map(max, self.eager_limits, floors))


def to_double(value: Any) -> Any:
    """A copy of a floating tensor in float64; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.to(torch.float64, copy=True)
    return value


def _error(result: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest absolute error, in float64, among the elements where both are finite; 0 where there are none."""
    if not result.numel():
        return 0.0
    difference = result.to(torch.float64, copy=True).sub_(exact.double())
    lowest, highest = (end.item() for end in torch.aminmax(difference))
    # Finite extremes show that all elements of both are finite. Selecting finite elements first is four times slower.
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        difference = difference[torch.isfinite(result) & torch.isfinite(exact)]
        lowest, highest = (end.item() for end in torch.aminmax(difference)) if difference.numel() else (0.0, 0.0)
    return max(-lowest, highest)


def _finite(x: torch.Tensor) -> bool:
    """Whether all elements are finite. aminmax returns NaN if any element is NaN."""
    return not x.numel() or all(math.isfinite(end.item()) for end in torch.aminmax(x))


def bounded(spec: OpSpec, args: tuple[Any, ...], arithmetic: type[Bounded] = Bounded) -> list[Any]:
    """The arguments of `spec.formula`: floating tensors as exact numbers of `arithmetic`."""
    dtype = next(a.dtype for a in args if isinstance(a, torch.Tensor))
    return [
        arithmetic(to_double(a), None, dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        for a in args
    ]


def floors(spec: OpSpec, numbers: list[Any], stored: tuple[torch.dtype, ...]) -> tuple[torch.Tensor | float, ...]:
    """For each output, the largest rounding error of each element; 0 where nothing is rounded.

    Args:
        numbers: the arguments of `spec.formula`.
        stored: the dtypes of the outputs.
    """
    value = spec.formula(*numbers)
    bounds: list[torch.Tensor | float] = []
    for bound, dtype in zip(value if isinstance(value, tuple) else (value,), stored, strict=True):
        if bound is None:
            bounds.append(0.0)
            continue
        error = bound.stored(dtype).error if dtype.is_floating_point else bound.error
        # Where float64 itself overflows there is no bound, and no tolerance either.
        bounds.append(torch.nan_to_num(error, nan=0.0, posinf=0.0))
    return tuple(bounds)


def expected(spec: OpSpec, args: tuple[Any, ...]) -> Expected:
    """Reference results for a call, and the error that each of their elements may have."""
    numbers = bounded(spec, args)
    exact = spec.results(spec.reference(*(n.value if isinstance(n, Bounded) else n for n in numbers)))
    eager = spec.results(spec.yardstick(*args))
    eager_limits = tuple(2 * _error(e, x) for e, x in zip(eager, exact, strict=True))
    return Expected(exact, eager, eager_limits, functools.partial(floors, spec, numbers, tuple(e.dtype for e in eager)))


def left_open(spec: OpSpec, output: torch.Tensor) -> bool:
    """Whether an output of PyTorch's own op may be right and still differ from the one that the spec asks for."""
    return not spec.eager_is_exact and not output.is_floating_point()


def mismatch(spec: OpSpec, reference: Expected, value: Any, contiguous: bool = True) -> str | None:
    """None when `value` is a right result of the call, else one sentence that says what is wrong with it.

    Args:
        contiguous: whether the result must be contiguous, as the ops' contract requires. Pass False for eager PyTorch,
            which keeps its input's strides; indices that it leaves open (`eager_is_exact`) are then not compared.
    """
    results = spec.results(value)
    if len(results) != len(reference.exact):
        return f"{spec.name} returned {len(results)} tensors, expected {len(reference.exact)}"
    for i, (y, exact, eager, eager_limit) in enumerate(
        zip(results, reference.exact, reference.eager, reference.eager_limits, strict=True)
    ):
        label = f"{spec.name} output {i}"
        if y.shape != eager.shape or y.dtype != eager.dtype or y.device != eager.device:
            return (
                f"{label} is {list(y.shape)} {y.dtype} on {y.device}, "
                f"expected {list(eager.shape)} {eager.dtype} on {eager.device}"
            )
        if not contiguous and left_open(spec, y):
            continue
        if contiguous and not y.is_contiguous():
            return f"{label} is not contiguous: strides {y.stride()}"
        if y.is_floating_point() and not (_finite(y) and _finite(eager)):
            # If only eager overflows in an intermediate result, a finite value is right.
            is_compared = ~(torch.isfinite(y) & torch.isfinite(exact.to(y.dtype)))
            for name, test in (("NaN", torch.isnan), ("+inf", torch.isposinf), ("-inf", torch.isneginf)):
                is_wrong = (test(y) != test(eager)) & is_compared
                if is_wrong.any():
                    return f"{label}: {int(is_wrong.sum())} elements where {name} should be and is not, or the reverse"
        if not _error(y, exact) <= eager_limit and (excess := _excess(y, exact, eager_limit, reference.floors[i])):
            return f"{label}{excess}"
    return None


def _excess(y: torch.Tensor, exact: torch.Tensor, eager_limit: float, floor: torch.Tensor | float) -> str | None:
    """A description of the element that exceeds its allowed error by the largest factor, or None."""
    finite = torch.isfinite(y) & torch.isfinite(exact)
    error = (y.double() - exact.double()).abs().masked_fill(~finite, 0)
    allowed = torch.as_tensor(floor, dtype=torch.float64, device=y.device).clamp(min=eager_limit).expand(y.shape)
    is_over = error > allowed
    if not is_over.any():
        return None
    worst = int((error / allowed).masked_fill(~is_over, 0).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(worst), y.shape)]
    worst_error, limit, exact_value = (t.flatten()[worst].item() for t in (error, allowed, exact))
    return (
        f" at {place}: error {worst_error:.3e} against float64 {exact_value:.6g}, allowed {limit:.3e}; "
        f"{int(is_over.sum())} of {y.numel()} elements are wrong"
    )
