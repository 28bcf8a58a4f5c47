"""gelu_tanh: the talk's NewGELU, the tanh form of GELU (Hendrycks and Gimpel, arXiv:1606.08415)."""

import functools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, special_values, strided, transposed

gelu = functools.partial(F.gelu, approximate="tanh")
TWICE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # 0.5 (1 + tanh u) = 1 / (1 + e^-2u), u = TWICE / 2 (x + CUBIC x^3)


def reference(x: torch.Tensor) -> torch.Tensor:
    """The logistic form of GELU. PyTorch's 1 + tanh(u) loses all digits far below zero and gives 0 from -8.4 down."""
    return x * torch.sigmoid(TWICE * (x + CUBIC * x**3))


def formula(x: Bounded) -> Bounded:
    return x * (x * (x.square() * (TWICE * CUBIC) + TWICE)).logistic()


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in ((), (1,), (0,), (2, 0), (7,), (83,), (769,), (5125,), (5, 83), (2, 3, 4, 5), (PARALLEL,)):
        yield Sample("x".join(map(str, shape)) or "0-d", (4 * randn(shape, dtype, device),))
    x = randn((33, 18), dtype, device)
    yield Sample("transposed", (transposed(x),))
    yield Sample("strided", (strided(x),))
    yield Sample("offset", (offset(x),))
    yield Sample("expanded", (x[:1].expand(33, 18),))
    yield Sample("special values", (special_values(dtype, device),))
    yield Sample("tails", (torch.linspace(-12, 12, 4801, dtype=torch.float64).to(dtype).to(device),))
    yield Sample("tiny values", (randn((83,), dtype, device) * 1e-3,))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(4, device=device)
    yield ErrorSample("wrong dtype", (x.double(),), ("x", "float64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("integer", (x.long(),), ("x", "int64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("non-tensor", ("x",), ("x", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    return (draw.tensor(draw.shape()),)


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    return (x,), (x[-4:],)


def bench(shape: tuple[int, ...], name: str, **options: bool) -> BenchSample:
    return BenchSample(name, lambda dtype, device: (big_randn(shape, dtype, device),), math.prod(shape), **options)


SPEC = OpSpec(
    name="gelu_tanh",
    schema="(Tensor x) -> Tensor",
    out_schema="(Tensor x, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=gelu,
    eager_out=lambda x, out: torch.ops.aten.gelu.out(x, approximate="tanh", out=out),
    gradients=("x",),
    samples=samples,
    jit_samples=("5x83",),
    sized=lambda n, dtype, device: (4 * randn((2 * n, 9 * n), dtype, device),),
    rows=lambda length, dtype, device: [(4 * randn((3, length), dtype, device),)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench((1, 4096), "GPT-2 medium decode, 1x4096", quick=True),
        bench((64, 4096), "GPT-2 medium batch 64, 64x4096"),
        bench((1024, 4096), "GPT-2 medium prefill, 1024x4096", quick=True),
    ),
    error_samples=error_samples,
    out_may_be_input=True,
    # x^3, the polynomial, tanh (counted as one operation), and the two products
    cost=lambda x: Cost(bytes=2 * x.numel() * x.element_size(), flops=8 * x.numel()),
)
