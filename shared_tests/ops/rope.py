"""rope: rotary position embedding (Su et al., arXiv:2104.09864), rotate-half layout, query and key in one call."""

import math
from collections.abc import Iterator

import torch

from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import (
    LARGE_COLUMNS,
    big_randn,
    large_matrix,
    offset,
    randn,
    special_values,
    strided,
    transposed,
)


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def reference(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As Hugging Face writes it for Llama: x * cos + rotate_half(x) * sin, tables of shape [S, D]."""
    cos, sin = cos[None, :, None, :], sin[None, :, None, :]
    return query * cos + rotate_half(query) * sin, key * cos + rotate_half(key) * sin


def tables(sequence: int, size: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of position * 10000^(-2i/D), [sequence, size] each."""
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / max(size, 1))
    angle = torch.outer(torch.arange(sequence, dtype=torch.float64), frequency).repeat(1, 2)
    return angle.cos().to(dtype).to(device), angle.sin().to(dtype).to(device)


def call(
    batch: int, sequence: int, heads: int, size: int, dtype: torch.dtype, device: str, key_heads: int | None = None
) -> tuple[torch.Tensor, ...]:
    query = randn((batch, sequence, heads, size), dtype, device, seed="q")
    key = randn((batch, sequence, heads if key_heads is None else key_heads, size), dtype, device, seed="k")
    return query, key, *tables(sequence, size, dtype, device)


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in ((1, 1, 1, 2), (0, 3, 2, 8), (2, 0, 2, 8), (1, 3, 2, 0), (1, 5, 3, 6), (2, 7, 4, 64), (1, 83, 3, 34)):
        yield Sample("x".join(map(str, shape)), call(*shape, dtype, device))
    yield Sample("large head", call(1, 3, 1, 5126, dtype, device))
    yield Sample("split over threads", call(3, 511, 17, 126, dtype, device, key_heads=5))
    yield Sample("GQA 8 to 2", call(2, 5, 8, 16, dtype, device, key_heads=2))
    yield Sample("no key heads", call(2, 5, 8, 16, dtype, device, key_heads=0))
    query, key, cos, sin = call(2, 5, 4, 16, dtype, device)
    yield Sample("heads first storage", (query.transpose(1, 2).contiguous().transpose(1, 2), key, cos, sin))
    yield Sample("transposed", (transposed(query), transposed(key), transposed(cos), transposed(sin)))
    yield Sample("strided", (strided(query), strided(key), strided(cos), strided(sin)))
    yield Sample("offset", (offset(query), offset(key), offset(cos), offset(sin)))
    yield Sample("query is key", (query, query, cos, sin))
    yield Sample(
        "halves of the tables differ",
        (query, key, randn((5, 16), dtype, device), randn((5, 16), dtype, device, seed="s")),
    )
    special = special_values(dtype, device)[:36].view(1, 1, 1, 36)
    yield Sample("special values", (special, special.flip(-1), *tables(1, 36, dtype, device)))


def error_samples(device: str) -> Iterator[ErrorSample]:
    q, k, cos, sin = call(2, 4, 4, 8, torch.float32, device, key_heads=2)
    yield ErrorSample("wrong dtype", tuple(t.double() for t in (q, k, cos, sin)),
                      ("query", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("key dtype", (q, k.half(), cos, sin), ("key", "float16", "expected float32"))
    yield ErrorSample("cos dtype", (q, k, cos.half(), sin), ("cos", "float16", "expected float32"))
    yield ErrorSample("query of rank 3", (q[0], k, cos, sin), ("query", "3 dimensions", "expected 4"))
    yield ErrorSample("key of rank 3", (q, k[0], cos, sin), ("key", "3 dimensions", "expected 4"))
    yield ErrorSample("odd head dimension", tuple(t[..., :7] for t in (q, k, cos, sin)), ("query", "7", "even"))
    yield ErrorSample("key sequence", (q, k[:, :3], cos, sin), ("key", "[2, 3, 2, 8]", "expected [2, 4, N, 8]"))
    yield ErrorSample("key head dimension", (q, k[..., :6], cos, sin), ("key", "[2, 4, 2, 6]", "expected [2, 4, N, 8]"))
    yield ErrorSample(
        "cos too long", (q, k, tables(5, 8, q.dtype, device)[0], sin), ("cos", "[5, 8]", "expected [4, 8]")
    )
    yield ErrorSample("sin too narrow", (q, k, cos, sin[:, :4]), ("sin", "[4, 4]", "expected [4, 8]"))
    yield ErrorSample("mixed devices", (q, k.to("meta"), cos, sin), ("key", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (q, k, cos, None), ("sin", "Tensor"))


def large(device: str) -> tuple[tuple, tuple]:
    """The batch carries the size, so that the tables stay small; there are no key heads."""
    query = large_matrix(device).view(-1, 2, 1, LARGE_COLUMNS)
    key = query[:, :, :0]
    cos, sin = (randn((2, LARGE_COLUMNS), query.dtype, device, seed=s) for s in "cs")
    return (query, key, cos, sin), (query[-2:], key[-2:], cos, sin)


def bench(batch: int, sequence: int, heads: int, size: int, **options: bool) -> BenchSample:
    """The talk's sizes; query and key have the same number of heads there."""
    shape = (batch, sequence, heads, size)

    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn(shape, dtype, device), big_randn(shape, dtype, device), *tables(sequence, size, dtype, device)

    return BenchSample("x".join(map(str, shape)), make, 2 * math.prod(shape), **options)


def cost(query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Cost:
    rotated = query.numel() + key.numel()
    return Cost(bytes=(2 * rotated + cos.numel() + sin.numel()) * query.element_size(), flops=3 * rotated)


SPEC = OpSpec(
    name="rope",
    schema="(Tensor query, Tensor key, Tensor cos, Tensor sin) -> (Tensor, Tensor)",
    out_schema=(
        "(Tensor query, Tensor key, Tensor cos, Tensor sin, *, Tensor(a!) query_out, Tensor(b!) key_out) -> ()"
    ),
    reference=reference,
    eager=reference,
    samples=samples,
    jit_samples=("2x7x4x64",),
    sized=lambda n, dtype, device: call(2 * n, 7 * n, 4 * n, 8 * n, dtype, device, key_heads=2 * n),
    large=large,
    bench_samples=(
        bench(1, 128, 4, 32, quick=True),
        bench(1, 512, 8, 64),
        bench(4, 2048, 16, 128, quick=True),
        bench(8, 4096, 32, 128),
    ),
    error_samples=error_samples,
    cost=cost,
)
