"""gelu_tanh_backward: the gradient of gelu_tanh."""

import functools
import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.ops.gelu_tanh import CUBIC, TWICE
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample, Skip
from shared_tests.tensors import PARALLEL, big_randn, offset, randn, special_values, strided, transposed

gelu_backward = functools.partial(torch.ops.aten.gelu_backward, approximate="tanh")
BEYOND = "special values"


def reference(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The gradient without the cancellation of PyTorch's 1 + tanh(u). Beyond 13 the derivative is 0 or 1 to the last
    bit of float32, where PyTorch computes 0 times infinity."""
    t = x.clamp(-13, 13)
    if x.dtype is not torch.float64:
        return gelu_backward(grad, t)
    two_u = TWICE * (t + CUBIC * t**3)
    s = torch.sigmoid(two_u)
    return grad * (s + t * s * torch.sigmoid(-two_u) * TWICE * (1 + 3 * CUBIC * t**2))


def formula(grad: Bounded, x: Bounded) -> Bounded:
    squared = x.square()
    s = (x * (squared * (TWICE * CUBIC) + TWICE)).logistic()
    return grad * (s + x * s * (1 - s) * (squared * (3 * TWICE * CUBIC) + TWICE))


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in ((), (1,), (0,), (2, 0), (7,), (83,), (769,), (5125,), (5, 83), (2, 3, 4, 5), (PARALLEL,)):
        grad = randn(shape, dtype, device, seed="grad")
        yield Sample("x".join(map(str, shape)) or "0-d", (grad, 3 * randn(shape, dtype, device)))
    grad, x = randn((33, 18), dtype, device, seed="grad"), randn((33, 18), dtype, device)
    yield Sample("transposed", (transposed(grad), transposed(x)))
    yield Sample("strided", (strided(grad), strided(x)))
    yield Sample("offset", (offset(grad), offset(x)))
    yield Sample("expanded", (grad[:1].expand(33, 18), x[:1].expand(33, 18)))
    yield Sample("same tensor twice", (x, x))
    tails = torch.linspace(-20, 20, 4801, dtype=torch.float64).to(dtype).to(device)
    yield Sample("tails", (torch.ones_like(tails), tails))
    special = special_values(dtype, device)
    yield Sample(BEYOND, (torch.ones_like(special), special))
    yield Sample("special gradient", (special, torch.ones_like(special)))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), x.double()),
                      ("grad", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("dtypes differ", (x, x.half()), ("x", "float16", "expected float32"))
    yield ErrorSample("shapes differ", (x, x[:, :7]), ("x", "[3, 7]", "expected [3, 8]"))
    yield ErrorSample("ranks differ", (x, x[0]), ("x", "[8]", "expected [3, 8]"))
    yield ErrorSample("mixed devices", (x, x.to("meta")), ("x", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (x, 1.0), ("x", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape()
    return draw.tensor(shape), draw.tensor(shape)


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), big_randn((rows, size), dtype, device)

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


def not_finite(route: str) -> Skip:
    return Skip(
        "PyTorch's derivative is 0 times infinity, NaN, where x^2 overflows",
        "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/cpu/Activation.cpp",
        route=route,
        sample=BEYOND,
    )


SPEC = OpSpec(
    name="gelu_tanh_backward",
    schema="(Tensor grad, Tensor x) -> Tensor",
    out_schema="(Tensor grad, Tensor x, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=gelu_backward,
    eager_is_exact=False,
    eager_out=lambda grad, x, out: torch.ops.aten.gelu_backward.grad_input(grad, x, approximate="tanh", grad_input=out),
    samples=samples,
    jit_samples=("5x83",),
    no_max_graph="MAX's own tanh: 5.1e-06 off in float32, where the rule allows 2.7e-06",
    sized=lambda n, dtype, device: (randn((2 * n, 9 * n), dtype, device), 3 * randn((2 * n, 9 * n), dtype, device)),
    rows=lambda length, dtype, device: [(randn((3, length), dtype, device), 3 * randn((3, length), dtype, device))],
    drawn=drawn,
    bench_samples=(
        bench(16, 4096, "GPT-2 medium, 16 tokens", quick=True),
        bench(128, 4096, "GPT-2 medium, 128 tokens"),
        bench(1024, 4096, "GPT-2 medium, 1024 tokens", quick=True),
        bench(4096, 4096, "GPT-2 medium, 4 x 1024 tokens"),
    ),
    error_samples=error_samples,
    out_may_be_input=True,
    skips=tuple(map(not_finite, ("eager", "compile"))),
    # The logistic function of 2u takes eight operations, exp counted as one, and the rest takes seven.
    cost=lambda grad, x: Cost(bytes=3 * x.numel() * x.element_size(), flops=15 * x.numel()),
)
