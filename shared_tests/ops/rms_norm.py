"""rms_norm: root mean square layer normalisation (Zhang and Sennrich, arXiv:1910.07467) over the last dimension."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, special_values, strided, transposed

EPS = 1e-6


def reference(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def formula(x: Bounded, weight: Bounded, eps: float) -> Bounded:
    return x * (x.square().mean(-1) + eps).rsqrt() * weight


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    shapes = (
        (1,),
        (1, 1),
        (0, 8),
        (3, 0),
        (7,),
        (5, 83),
        (2, 769),
        (3, 5125),
        (2, 3, 4, 33),
        (131, 2048),
        (PARALLEL // 2045 + 1, 2045),
        (PARALLEL // 5 + 1, 5),
    )
    for shape in shapes:
        # With a small eps, the terms of the gradient of a single value cancel almost completely.
        eps = 0.5 if shape[-1] == 1 else EPS
        x, weight = 3 * randn(shape, dtype, device), randn(shape[-1:], dtype, device)
        yield Sample("x".join(map(str, shape)), (x, weight, eps))
    x, weight = randn((33, 18), dtype, device), randn((18,), dtype, device)
    yield Sample("transposed", (transposed(x), weight, EPS))
    yield Sample("strided", (strided(x), strided(weight), EPS))
    yield Sample("offset", (offset(x), offset(weight), EPS))
    yield Sample("expanded", (x[:1].expand(33, 18), weight, EPS))
    yield Sample("large eps", (x, weight, 0.5))
    yield Sample("zero row", (torch.zeros(2, 18, dtype=dtype, device=device), weight, EPS))
    yield Sample("small values", (x * 1e-3, weight, 1e-8))
    special = special_values(dtype, device)
    rows = torch.stack([special.flip(0), randn(special.shape, dtype, device)])
    yield Sample("special values in one row", (rows, torch.ones_like(special), EPS))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, weight = torch.ones(3, 8, device=device), torch.ones(8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), weight.double(), EPS),
                      ("x", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("dtypes differ", (x, weight.bfloat16(), EPS), ("weight", "bfloat16", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0], weight, EPS), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("weight too short", (x, weight[:7], EPS), ("weight", "[7]", "expected [8]"))
    yield ErrorSample("weight of rank 2", (x, weight[None], EPS), ("weight", "[1, 8]", "expected [8]"))
    yield ErrorSample("mixed devices", (x, weight.to("meta"), EPS), ("weight", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor weight", (x, 1.0, EPS), ("weight", "Tensor"))
    yield ErrorSample("eps not a number", (x, weight, "small"), ("eps", "float"))


def drawn(draw: Draw) -> tuple:
    shape = draw.shape(1)
    return draw.tensor(shape), draw.tensor(shape[-1:]), draw.choice((EPS, 1e-3, 0.5))


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    weight = randn(x.shape[-1:], x.dtype, device)
    return (x, weight, EPS), (x[-4:], weight, EPS)


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), randn((size,), dtype, device), EPS

    return BenchSample(name, make, math.prod((rows, size)), **options)


SPEC = OpSpec(
    name="rms_norm",
    schema="(Tensor x, Tensor weight, float eps) -> Tensor",
    out_schema="(Tensor x, Tensor weight, float eps, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    samples=samples,
    jit_samples=("5x83",),
    sized=lambda n, dtype, device: (randn((2 * n, 9 * n), dtype, device), randn((9 * n,), dtype, device), EPS),
    rows=lambda length, dtype, device: [(randn((3, length), dtype, device), randn((length,), dtype, device), EPS)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 4096, "Llama-3-8B decode, 1x4096", quick=True),
        bench(64, 4096, "Llama-3-8B batch 64, 64x4096"),
        bench(2048, 4096, "Llama-3-8B prefill, 2048x4096", quick=True),
    ),
    error_samples=error_samples,
    cost=lambda x, weight, eps: Cost(bytes=(2 * x.numel() + weight.numel()) * x.element_size(), flops=4 * x.numel()),
    gradients=("x", "weight"),
    autocast="float32",
)
