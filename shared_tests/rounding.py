"""Float64 arithmetic that carries an upper bound on the rounding error of the same computation in float32.

Each spec also writes its op as a `formula` of `Bounded` numbers. The resulting bound of each element is the floor of
the tolerance rule in `accuracy.py`. docs/tolerances.md derives the bound of every operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Tensor = torch.Tensor
Self = TypeVar("Self", bound="Bounded")

UNIT = 2.0**-24  # the largest relative error of one rounding to float32
SMALLEST = 2.0**-150  # the largest error of a rounding to float32 among its subnormal numbers
TINY = 2.0**-126  # the smallest normal number of float32: an exponential below it may give 0
EXP = 4  # roundings of an exponential, in addition to that of its argument


def growth(terms: int) -> float:
    """The rounding error of a sum of `terms` terms, in units of UNIT times the sum of their magnitudes.

    Each term takes part in at most `terms - 1` additions. From six terms on, roundings are taken as independent: six
    standard deviations of their sum are 2 sqrt(terms - 1).
    """
    additions = max(terms - 1, 0)
    return min(float(additions), 2 * math.sqrt(additions))


class Bounded:
    """Float64 values, each with an upper bound on the error that float32 arithmetic has made so far.

    value, error: tensors of one shape.
    dtype: the op's own dtype, in which it may keep intermediate results.
    """

    def __init__(self, value: Tensor, error: Tensor | None, dtype: torch.dtype):
        self.value, self.dtype = value, dtype
        # A single expanded zero, because most numbers are exact and the errors of many are never used.
        self.error = value.new_zeros(()).expand(value.shape) if error is None else error

    def _with_rounding(self: Self, value: Tensor, error: Tensor, roundings: float = 1) -> Self:
        error = error + roundings * UNIT * value.abs() + SMALLEST
        return type(self)(value, error.masked_fill(~torch.isfinite(value), 0), self.dtype)

    def _constant(self: Self, value: float) -> Self:
        """A Python number and the error of rounding it to float32."""
        exact = torch.tensor(value, dtype=torch.float64, device=self.value.device)
        return type(self)(exact, (exact.float().double() - exact).abs(), self.dtype)

    def _as_bounded(self: Self, other: Self | float) -> Self:
        return self._constant(other) if isinstance(other, (int, float)) else other

    # Operations that round

    def __add__(self: Self, other: Self | float) -> Self:
        other = self._as_bounded(other)
        return self._with_rounding(self.value + other.value, self.error + other.error)

    def __sub__(self: Self, other: Self | float) -> Self:
        other = self._as_bounded(other)
        return self._with_rounding(self.value - other.value, self.error + other.error)

    def __rsub__(self: Self, other: float) -> Self:
        return self._constant(other) - self

    def __mul__(self: Self, other: Self | float) -> Self:
        other = self._as_bounded(other)
        error = self.error * (other.value.abs() + other.error) + self.value.abs() * other.error
        return self._with_rounding(self.value * other.value, error)

    def __truediv__(self: Self, other: Self | float) -> Self:
        """Division, with two roundings: those of the reciprocal and of the product with it."""
        other = self._as_bounded(other)
        quotient = self.value / other.value
        least = (other.value.abs() - other.error).clamp(min=0)
        return self._with_rounding(quotient, (self.error + quotient.abs() * other.error) / least, 2)

    __radd__ = __add__
    __rmul__ = __mul__

    def square(self: Self) -> Self:
        return self * self

    def rsqrt(self: Self) -> Self:
        """1 / sqrt(x), with two roundings: those of the square root and of the reciprocal."""
        value = self.value.rsqrt()
        return self._with_rounding(value, value * self.error / (2 * (self.value - self.error)), 2)

    def exp(self: Self, limit: float = math.inf) -> Self:
        """e^x. The argument is also rounded, because it is scaled to a power of two.

        Args:
            limit: an upper limit of the argument that holds after any rounding.
        """
        value, error = self.value.exp(), self.error + UNIT * self.value.abs()
        upper_error = (self.value + error).clamp(max=limit).exp() - value
        lower_error = value - (self.value - error).exp()
        return self._with_rounding(value, torch.maximum(upper_error, lower_error) + TINY, EXP)

    def log(self: Self) -> Self:
        return self._with_rounding(self.value.log(), self.error / (self.value - self.error), 2)

    def logistic(self: Self) -> Self:
        """1 / (1 + e^-x). The error of e^-x counts less where e^-x is the smaller term of the sum."""
        value, error = self.value.sigmoid(), self.error + UNIT * self.value.abs() + EXP * UNIT
        upper_error, lower_error = (self.value + error).sigmoid() - value, value - (self.value - error).sigmoid()
        return self._with_rounding(value, torch.maximum(upper_error, lower_error) + TINY, 2)

    def sum(self: Self, dim: int | tuple[int, ...], keepdim: bool = True, independent: bool = False) -> Self:
        """The sum over `dim`. Errors that are `independent` are bounded by six standard deviations of their sum."""
        terms = math.prod(self.value.shape[d] for d in ((dim,) if isinstance(dim, int) else dim))
        total, sizes, errors = (t.sum(dim, keepdim) for t in (self.value, self.value.abs(), self.error))
        if independent:
            errors = torch.minimum(errors, 6 * self.error.square().sum(dim, keepdim).sqrt())
        return type(self)(total, errors + growth(terms) * UNIT * (sizes + errors), self.dtype)

    def mean(self: Self, dim: int) -> Self:
        return self.sum(dim) / max(self.value.shape[dim], 1)

    def matmul(self: Self, other: Self, bias: Self | None = None) -> Self:
        """The matrix product, accumulated in float32 whatever the dtype.

        BLAS may start the sums from the bias; each addition then rounds at the bias's magnitude.
        """
        sizes, other_sizes = self.value.abs(), other.value.abs()
        total, magnitudes = self.value @ other.value, sizes @ other_sizes
        error = self.error @ (other_sizes + other.error) + sizes @ other.error + UNIT * magnitudes
        if bias is not None:
            total, magnitudes, error = total + bias.value, magnitudes + bias.value.abs(), error + bias.error
        terms = self.value.shape[-1] + (bias is not None)
        return type(self)(total, error + growth(terms) * UNIT * magnitudes, self.dtype)

    def stored(self: Self, dtype: torch.dtype | None = None) -> Self:
        """Rounded to `dtype`, by default the op's own. float32 and wider dtypes change nothing."""
        info = torch.finfo(dtype or self.dtype)
        if info.eps / 2 <= UNIT:
            return self
        spacing = info.smallest_normal * info.eps
        error = self.error + info.eps / 2 * (self.value.abs() + self.error) + spacing / 2
        return type(self)(self.value, error, self.dtype)

    # Operations that do not round

    def __neg__(self: Self) -> Self:
        return self.moved(lambda t: t, -1)

    def moved(self: Self, function: Callable[[Tensor], Tensor], sign: int = 1) -> Self:
        """Elements moved, chosen, repeated or filled with zero by `function`."""
        return type(self)(function(sign * self.value), function(self.error), self.dtype)

    def amax(self: Self, dim: int) -> Self:
        """The maximum, whose error is at most the largest error of any element."""
        if not self.value.shape[dim]:
            return self.sum(dim)
        return type(self)(self.value.amax(dim, True), self.error.amax(dim, True), self.dtype)

    def masked(self: Self, mask: Tensor, value: float) -> Self:
        """Elements where `mask` is set become `value`, without an error."""
        return type(self)(self.value.masked_fill(mask, value), self.error.masked_fill(mask, 0), self.dtype)

    def plus_exactly(self: Self, other: Self) -> Self:
        """A sum in float64, whose own rounding is negligible next to the bounded errors."""
        return type(self)(self.value + other.value, self.error + other.error, self.dtype)

    def truncated(self: Self) -> Self:
        """Rounded towards zero to an integer. The result has an error only if an integer lies within the error of x."""
        error = (self.value + self.error).trunc() - (self.value - self.error).trunc()
        return type(self)(self.value.trunc(), error, self.dtype)

    def chunk(self: Self, count: int, dim: int) -> tuple[Self, ...]:
        return tuple(self.moved(lambda t, i=i: t.chunk(count, dim)[i]) for i in range(count))  # type: ignore[misc]


def cat(parts: Sequence[Bounded]) -> Bounded:
    """Concatenates along the last dimension."""
    values, errors = ([getattr(x, name) for x in parts] for name in ("value", "error"))
    return type(parts[0])(torch.cat(values, -1), torch.cat(errors, -1), parts[0].dtype)


def exponentials(scores: Bounded) -> Bounded:
    """e^(x - max) along the last dimension, as in softmax and log-sum-exp; exactly 0 where x is -inf."""
    masked = scores.value == -math.inf
    return (scores - scores.amax(-1)).masked(masked, 0).exp(limit=0).masked(masked, 0)


def moments(x: Bounded) -> tuple[Bounded, Bounded]:
    """Differences from the mean of the last dimension, and the variance, both computed from sums of x - c.

    c is some number within a standard deviation of the mean, so that neither sum loses digits to a large mean.
    """
    n = max(x.value.shape[-1], 1)
    d = x.value - x.mean(-1).value
    variance = type(x)(d, None, x.dtype).square().mean(-1).value
    deviation, sums = variance.sqrt(), growth(n)
    error = UNIT * ((d.abs() + deviation) * 2 + (2 + sums) * 2 * deviation)
    spread = UNIT * (6 + 2 * sums) * 2 * variance
    return type(x)(d, error, x.dtype), type(x)(variance, spread, x.dtype)
