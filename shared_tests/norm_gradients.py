"""Samples shared by the gradients of the norms: calls (grad, x, weight, eps)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, ErrorSample, Sample
from shared_tests.tensors import PARALLEL, big_randn, offset, randn, strided, transposed

EPS = 1e-5

Call = tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]


def call(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Call:
    grad, weight = randn(shape, dtype, device, seed="grad"), randn(shape[-1:], dtype, device, seed="weight")
    return grad, 3 * randn(shape, dtype, device), weight, EPS


def sum_over_rows(x: Bounded) -> Bounded:
    """The sum over all rows. Their errors are independent, because each row has its own moments."""
    dims = tuple(range(x.value.dim() - 1))
    return x.sum(dims, keepdim=False, independent=True) if dims else x


def drawn(draw: Draw) -> Call:
    shape = draw.shape(1, 3)
    return draw.tensor(shape), draw.tensor(shape), draw.tensor(shape[-1:]), draw.choice((EPS, 1e-3, 0.5))


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    shapes = (
        (0, 8),
        (3, 0),
        (0, 0),
        (7,),
        (5, 83),
        (2, 769),
        (3, 5125),
        (2, 13824),
        (2, 3, 4, 33),
        (131, 2048),
        (PARALLEL // 2045 + 1, 2045),
        (PARALLEL // 5 + 1, 5),
    )
    for shape in shapes:
        yield Sample("x".join(map(str, shape)), call(shape, dtype, device))
    # With one value per row, the terms of the gradient of x cancel almost completely, so these products are exact.
    ones = torch.ones(3, 1, dtype=dtype, device=device)
    yield Sample("3x1", (ones, ones / 2, 2 * ones[0], 0.75))
    grad, x, weight, _ = call((33, 18), dtype, device)
    yield Sample("transposed", (transposed(grad), transposed(x), weight, EPS))
    yield Sample("strided", (strided(grad), strided(x), strided(weight), EPS))
    yield Sample("offset", (offset(grad), offset(x), offset(weight), EPS))
    yield Sample("gradient of a sum", (grad[:1, :1].expand(33, 18), x, weight, EPS))
    yield Sample("grad is x", (x, x, weight, EPS))
    yield Sample("large eps", (grad, x, weight, 0.5))
    yield Sample("constant rows", (grad, x[:, :1].expand(33, 18), weight, EPS))
    yield Sample("zero rows", (grad, torch.zeros_like(x), weight, EPS))
    yield Sample("zero gradient", (torch.zeros_like(grad), x, weight, EPS))
    grad, x, weight, _ = call((9, 300), dtype, device)
    # The mean is so far from zero that one deviation spans only about twenty steps of the dtype.
    yield Sample("mean far above deviation", (grad, x + 0.05 / torch.finfo(dtype).eps, weight, EPS))
    special = x[:5].clone()
    special[0, 4], special[1, 5], special[2, 299] = math.nan, math.inf, -math.inf
    yield Sample("NaN and infinity in some rows", (grad[:5], special, weight, EPS))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, weight = torch.ones(3, 8, device=device), torch.ones(8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), x.double(), weight.double(), EPS),
                      ("grad", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("x dtype", (x, x.half(), weight, EPS), ("x", "float16", "expected float32"))
    yield ErrorSample("weight dtype", (x, x, weight.bfloat16(), EPS), ("weight", "bfloat16", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0], x[0, 0], weight, EPS), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("grad of another shape", (x[:2], x, weight, EPS), ("grad", "[2, 8]", "expected [3, 8]"))
    yield ErrorSample("grad of another rank", (x[0], x, weight, EPS), ("grad", "[8]", "expected [3, 8]"))
    yield ErrorSample("weight too short", (x, x, weight[:7], EPS), ("weight", "[7]", "expected [8]"))
    yield ErrorSample("weight of rank 2", (x, x, weight[None], EPS), ("weight", "[1, 8]", "expected [8]"))
    yield ErrorSample("mixed devices", (x, x.to("meta"), weight, EPS), ("x", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor weight", (x, x, 1.0, EPS), ("weight", "Tensor"))
    yield ErrorSample("eps not a number", (x, x, weight, "small"), ("eps", "float"))


def sized(n: int, dtype: torch.dtype, device: str) -> Call:
    return call((2 * n, 9 * n), dtype, device)


def rows(length: int, dtype: torch.dtype, device: str) -> list[Call]:
    """Random rows, rows whose gradient correlates with x so that the mean of products is not near 0, and many rows."""
    grad, x, weight, eps = call((3, length), dtype, device)
    calls = [(grad, x, weight, eps), (grad / 2 + x / 4, x, weight.abs(), eps)]
    return [*calls, call((600, length), dtype, device)] if length <= 64 else calls


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> Call:
        grad = big_randn((rows, size), dtype, device).flip(-1)
        return grad, big_randn((rows, size), dtype, device), randn((size,), dtype, device), EPS

    return BenchSample(name, make, rows * size, **options)
