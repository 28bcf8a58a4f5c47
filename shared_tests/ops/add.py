"""add: the talk's first op, elementwise sum of two tensors of one shape and dtype."""

import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, special_values, strided, transposed


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in ((), (1,), (0,), (3, 0, 2), (7,), (83,), (769,), (5125,), (5, 83), (2, 3, 4, 5), (PARALLEL,)):
        a, b = randn(shape, dtype, device, seed="a"), randn(shape, dtype, device, seed="b")
        yield Sample("x".join(map(str, shape)) or "0-d", (a, b))
    a, b = randn((33, 18), dtype, device, seed="a"), randn((33, 18), dtype, device, seed="b")
    yield Sample("transposed", (transposed(a), b))
    yield Sample("strided", (a, strided(b)))
    yield Sample("offset", (offset(a), b))
    yield Sample("expanded", (a, b[:1].expand(33, 18)))
    yield Sample("same tensor twice", (a, a))
    yield Sample("special values", (special_values(dtype, device), special_values(dtype, device).flip(0)))
    subnormals = (randn((333,), torch.float64, device) * torch.finfo(dtype).smallest_normal / 4).to(dtype)
    yield Sample("subnormals", (subnormals, torch.zeros_like(subnormals)))


def error_samples(device: str) -> Iterator[ErrorSample]:
    a = torch.ones(4, device=device)
    yield ErrorSample(
        "wrong dtype", (a.double(), a.double()), ("a", "float64", "expected float32, bfloat16 or float16")
    )
    yield ErrorSample("integer", (a.int(), a.int()), ("a", "int32", "expected float32, bfloat16 or float16"))
    yield ErrorSample("dtypes differ", (a, a.half()), ("b", "float16", "expected float32"))
    yield ErrorSample("shapes differ", (a, a[:3]), ("b", "[3]", "expected [4]"))
    yield ErrorSample("ranks differ", (a, a.view(2, 2)), ("b", "[2, 2]", "expected [4]"))
    yield ErrorSample("mixed devices", (a, a.to("meta")), ("b", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (a, 1.0), ("b", "float", "Tensor"))


def sized(n: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    return randn((2 * n, 9 * n), dtype, device, seed="a"), randn((2 * n, 9 * n), dtype, device, seed="b")


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape()
    return draw.tensor(shape), draw.tensor(shape)


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    return (x, x), (x[-4:], x[-4:])


def bench(shape: tuple[int, ...], name: str, **options: bool) -> BenchSample:
    make = lambda dtype, device: (big_randn(shape, dtype, device), big_randn(shape, dtype, device))  # noqa: E731
    return BenchSample(name, make, math.prod(shape), **options)


SPEC = OpSpec(
    name="add",
    schema="(Tensor a, Tensor b) -> Tensor",
    out_schema="(Tensor a, Tensor b, *, Tensor(a!) out) -> ()",
    reference=torch.add,
    formula=lambda a, b: a + b,
    eager=torch.add,
    eager_out=lambda a, b, out: torch.add(a, b, out=out),
    samples=samples,
    jit_samples=("5x83",),
    sized=sized,
    rows=lambda length, dtype, device: [tuple(randn((3, length), dtype, device, seed=s) for s in "ab")],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench((1, 4096), "Llama-3-8B decode, 1x4096"),
        bench((64, 4096), "Llama-3-8B batch 64, 64x4096", quick=True),
        bench((2048, 4096), "Llama-3-8B prefill, 2048x4096", quick=True),
        bench((4096, 4096), "64 MB, 4096x4096"),
    ),
    error_samples=error_samples,
    out_may_be_input=True,
    gradients=("a", "b"),
    autocast="widest",
    cost=lambda a, b: Cost(bytes=3 * a.numel() * a.element_size(), flops=a.numel()),
)
