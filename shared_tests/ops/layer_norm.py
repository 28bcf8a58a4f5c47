"""layer_norm: layer normalisation (Ba, Kiros and Hinton, arXiv:1607.06450) over the last dimension."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded, moments
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, strided, transposed

EPS = 1e-5


def reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float) -> torch.Tensor:
    wide = x if x.dtype is torch.float64 else x.float()
    centred = wide - wide.mean(-1, keepdim=True)
    y = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight
    return (y if bias is None else y + bias).to(x.dtype)


def formula(x: Bounded, weight: Bounded, bias: Bounded | None, eps: float) -> Bounded:
    centred, variance = moments(x)
    y = centred * (variance + eps).rsqrt() * weight
    return y if bias is None else y + bias


def eager(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def call(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple:
    weight, bias = (randn(shape[-1:], dtype, device, seed=s) for s in ("weight", "bias"))
    return 3 * randn(shape, dtype, device), weight, bias, EPS


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
        (2, 13824),
        (2, 3, 4, 33),
        (131, 2048),
        (PARALLEL // 2045 + 1, 2045),
        (PARALLEL // 5 + 1, 5),
    )
    for shape in shapes:
        yield Sample("x".join(map(str, shape)), call(shape, dtype, device))
    yield Sample("5x83 without bias", (*call((5, 83), dtype, device)[:2], None, EPS))
    x, weight, bias, _ = call((33, 18), dtype, device)
    yield Sample("transposed", (transposed(x), weight, bias, EPS))
    yield Sample("strided", (strided(x), strided(weight), strided(bias), EPS))
    yield Sample("offset", (offset(x), offset(weight), offset(bias), EPS))
    yield Sample("expanded", (x[:1].expand(33, 18), weight, bias[:1].expand(18), EPS))
    yield Sample("large eps", (x, weight, bias, 0.5))
    yield Sample("constant rows", (x[:, :1].expand(33, 18), weight, bias, EPS))
    yield Sample("zero row", (torch.zeros_like(x[:2]), weight, None, EPS))
    yield Sample("small values", (x * 1e-3, weight, bias, 1e-8))
    x, weight, bias, _ = call((9, 300), dtype, device)
    # The mean is so far from zero that one deviation spans only about twenty steps of the dtype.
    mean = 0.05 / torch.finfo(dtype).eps
    yield Sample("mean far above deviation", (x + mean, weight, bias, EPS))
    outlier = x.clone()
    outlier[:, 0] = 1000
    yield Sample("first value far off", (outlier, weight, bias, EPS))
    step = x.clone()
    step[:, 200:] += 500
    yield Sample("mean changes along the row", (step, weight, bias, EPS))
    special = x[:5].clone()
    special[0, 4], special[1, 5], special[2, 299], special[3, :] = math.nan, math.inf, -math.inf, math.inf
    yield Sample("NaN and infinity in some rows", (special, weight, bias, EPS))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, weight, bias = torch.ones(3, 8, device=device), torch.ones(8, device=device), torch.zeros(8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), weight.double(), bias.double(), EPS),
                      ("x", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("weight dtype", (x, weight.bfloat16(), bias, EPS), ("weight", "bfloat16", "expected float32"))
    yield ErrorSample("bias dtype", (x, weight, bias.half(), EPS), ("bias", "float16", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0], weight, bias, EPS), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("weight too short", (x, weight[:7], bias, EPS), ("weight", "[7]", "expected [8]"))
    yield ErrorSample("weight of rank 2", (x, weight[None], bias, EPS), ("weight", "[1, 8]", "expected [8]"))
    yield ErrorSample("bias too long", (x, weight, torch.zeros(9, device=device), EPS), ("bias", "[9]", "expected [8]"))
    yield ErrorSample("mixed devices", (x, weight, bias.to("meta"), EPS), ("bias", "meta", f"expected {device}"))
    yield ErrorSample("no weight", (x, None, bias, EPS), ("weight",))
    yield ErrorSample("non-tensor bias", (x, weight, 1.0, EPS), ("bias", "Tensor"))
    yield ErrorSample("eps not a number", (x, weight, bias, "small"), ("eps", "float"))


def large(device: str) -> tuple[tuple, tuple]:
    """No bias, so that rows of zeros stay zero."""
    x = large_matrix(device)
    weight = randn(x.shape[-1:], x.dtype, device)
    return (x, weight, None, EPS), (x[-4:], weight, None, EPS)


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), *call((1, size), dtype, device)[1:]

    return BenchSample(name, make, rows * size, **options)


def cost(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float) -> Cost:
    parameters = weight.numel() if bias is None else 2 * weight.numel()
    return Cost(bytes=(2 * x.numel() + parameters) * x.element_size(), flops=8 * x.numel())


def drawn(draw: Draw) -> tuple:
    shape = draw.shape(1)
    bias = draw.tensor(shape[-1:]) if draw.choice((False, True)) else None
    return draw.tensor(shape), draw.tensor(shape[-1:]), bias, draw.choice((1e-5, 1e-3, 0.5))


SPEC = OpSpec(
    name="layer_norm",
    schema="(Tensor x, Tensor weight, Tensor? bias, float eps) -> Tensor",
    out_schema="(Tensor x, Tensor weight, Tensor? bias, float eps, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=eager,  # no eager_out: its `out` form allocates a result and copies it
    samples=samples,
    jit_samples=("5x83",),
    sized=lambda n, dtype, device: call((2 * n, 9 * n), dtype, device),
    rows=lambda length, dtype, device: [call((3, length), dtype, device)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 1024, "GPT-2 medium decode, 1x1024"),
        bench(64, 1024, "GPT-2 medium batch 64, 64x1024", quick=True),
        bench(2048, 1024, "GPT-2 medium prefill, 2048x1024", quick=True),
        bench(2048, 4096, "hidden size 4096, 2048x4096"),
    ),
    error_samples=error_samples,
    cost=cost,
    gradients=("x", "weight", "bias"),
    autocast="float32",
)
