"""add_rms_norm: residual addition and rms_norm (Zhang and Sennrich, arXiv:1910.07467) of the sum."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.ops import rms_norm
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, offset, randn, special_values, strided, transposed

EPS = 1e-6


def reference(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    total = x + residual
    return F.rms_norm(total, (x.shape[-1],), weight, eps), total


def formula(x: Bounded, residual: Bounded, weight: Bounded, eps: float) -> tuple[Bounded, Bounded]:
    """The sum is rounded to its storage dtype before it is normalised."""
    total = x + residual
    return rms_norm.formula(total.stored(), weight, eps), total


def call(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple:
    x, residual = (2 * randn(shape, dtype, device, seed=seed) for seed in ("x", "residual"))
    return x, residual, randn(shape[-1:], dtype, device), EPS


def contiguous_samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    """The samples that fused_add_rms_norm, which writes into x and residual, also uses."""
    shapes = ((1,), (1, 1), (0, 8), (3, 0), (7,), (5, 83), (2, 769), (3, 5125), (2, 13824), (2, 3, 4, 33), (131, 2048))
    for shape in (*shapes, (PARALLEL // 2045 + 1, 2045), (70001, 5)):
        yield Sample("x".join(map(str, shape)), call(shape, dtype, device))
    x, residual, weight, _ = call((33, 18), dtype, device)
    yield Sample("offset", (offset(x), offset(residual), offset(weight), EPS))
    yield Sample("strided weight", (x, residual, strided(weight), EPS))
    yield Sample("large eps", (x, residual, weight, 0.5))
    yield Sample("the sum is zero", (x, -x, weight, EPS))
    yield Sample("small values", (x * 1e-3, residual * 1e-3, weight, 1e-8))
    # In 16 bits the smaller term is lost when the sum is rounded, before it is normalised.
    yield Sample("terms of unlike size", (x * 1e-2, residual * 8, weight, EPS))
    special = special_values(dtype, device)
    rows = torch.stack([special.flip(0), randn(special.shape, dtype, device)])
    yield Sample("special values in one row", (rows, torch.zeros_like(rows), torch.ones_like(special), EPS))


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    yield from contiguous_samples(dtype, device)
    x, residual, weight, _ = call((33, 18), dtype, device)
    yield Sample("transposed", (transposed(x), transposed(residual), weight, EPS))
    yield Sample("strided", (strided(x), strided(residual), weight, EPS))
    yield Sample("expanded", (x[:1].expand(33, 18), residual, weight, EPS))
    yield Sample("x is residual", (x, x, weight, EPS))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, weight = torch.ones(3, 8, device=device), torch.ones(8, device=device)
    residual = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), residual.double(), weight.double(), EPS),
                      ("x", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("residual dtype", (x, residual.half(), weight, EPS), ("residual", "float16", "expected float32"))
    yield ErrorSample("weight dtype", (x, residual, weight.bfloat16(), EPS), ("weight", "bfloat16", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0], residual[0, 0], weight, EPS), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample(
        "residual of fewer rows", (x, residual[:2], weight, EPS), ("residual", "[2, 8]", "expected [3, 8]")
    )
    yield ErrorSample("residual of rank 1", (x, residual[0], weight, EPS), ("residual", "[8]", "expected [3, 8]"))
    yield ErrorSample("weight too short", (x, residual, weight[:7], EPS), ("weight", "[7]", "expected [8]"))
    yield ErrorSample("weight of rank 2", (x, residual, weight[None], EPS), ("weight", "[1, 8]", "expected [8]"))
    yield ErrorSample(
        "mixed devices", (x, residual.to("meta"), weight, EPS), ("residual", "meta", f"expected {device}")
    )
    yield ErrorSample("non-tensor", (x, residual, 1.0, EPS), ("weight", "Tensor"))
    yield ErrorSample("eps not a number", (x, residual, weight, "small"), ("eps", "float"))


def sized(n: int, dtype: torch.dtype, device: str) -> tuple:
    return call((2 * n, 9 * n), dtype, device)


def drawn(draw: Draw, contiguous: bool = False) -> tuple:
    shape = draw.shape(1)
    x, residual = (draw.tensor(shape, contiguous=contiguous) for _ in range(2))
    return x, residual, draw.tensor(shape[-1:]), draw.choice((EPS, 1e-3, 0.5))


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        x, residual = (big_randn((rows, size), dtype, device) for _ in range(2))
        return x, residual, randn((size,), dtype, device), EPS

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


BENCH_SAMPLES = (
    bench(1, 4096, "Llama-3-8B decode", quick=True),
    bench(64, 4096, "Llama-3-8B batch 64"),
    bench(512, 3584, "Qwen-2.5-7B prefill"),
    bench(2048, 4096, "Llama-3-8B prefill", quick=True),
)


def cost(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float) -> Cost:
    return Cost(bytes=(4 * x.numel() + weight.numel()) * x.element_size(), flops=5 * x.numel())


SPEC = OpSpec(
    name="add_rms_norm",
    schema="(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor, Tensor)",
    out_schema=(
        "(Tensor x, Tensor residual, Tensor weight, float eps, *, Tensor(a!) normalised, Tensor(b!) sum) -> ()"
    ),
    reference=reference,
    formula=formula,
    eager=reference,
    samples=samples,
    jit_samples=("5x83",),
    sized=sized,
    rows=lambda length, dtype, device: [call((3, length), dtype, device)],
    drawn=drawn,
    bench_samples=BENCH_SAMPLES,
    error_samples=error_samples,
    gradients=("x", "residual", "weight"),
    autocast="float32",
    cost=cost,
)
