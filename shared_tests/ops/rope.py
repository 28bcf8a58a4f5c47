"""rope: rotary position embedding (Su et al., arXiv:2104.09864) of query and key, rotate-half or interleaved."""

import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
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


def rotate_every_two(x: torch.Tensor) -> torch.Tensor:
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


def reference(
    query: torch.Tensor,
    key: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor | None = None,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """x * cos + rotate(x) * sin, as in Hugging Face: rotate_half for Llama and rotate_every_two for GPT-J.

    The tables have shape [S, D], or [P, D] if their rows are gathered by positions [S] or [B, S].
    """
    if positions is not None:
        cos, sin = cos[positions], sin[positions]
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    rotate = rotate_every_two if interleaved else rotate_half
    return query * cos + rotate(query) * sin, key * cos + rotate(key) * sin


def formula(
    query: Bounded,
    key: Bounded,
    cos: Bounded,
    sin: Bounded,
    positions: torch.Tensor | None = None,
    interleaved: bool = False,
) -> tuple[Bounded, ...]:
    rows = slice(None) if positions is None else positions
    cos, sin = (x.moved(lambda t: t[rows].unsqueeze(-2)) for x in (cos, sin))
    rotate = rotate_every_two if interleaved else rotate_half
    return tuple(x * cos + x.moved(rotate) * sin for x in (query, key))


def tables(sequence: int, size: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables [sequence, size] of cos and sin of position * 10000^(-2i/D)."""
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
    longer_cos, longer_sin = tables(50, 16, dtype, device)
    for interleaved in (False, True):
        layout = "interleaved" if interleaved else "halves"
        shared = torch.tensor([49, 0, 7, 7, 3], device=device)
        row_indices = torch.tensor([[1, 2, 3, 4, 5], [0, 49, 0, 49, 21]], device=device)
        yield Sample(f"{layout}, positions [S]", (query, key, longer_cos, longer_sin, shared, interleaved))
        yield Sample(f"{layout}, positions [B, S]", (query, key, longer_cos, longer_sin, row_indices, interleaved))
        yield Sample(
            f"{layout}, strided positions", (query, key, longer_cos, longer_sin, transposed(row_indices), interleaved)
        )
    for size in (2, 6, 34, 64, 126):
        yield Sample(f"interleaved, head {size}", (*call(2, 7, 3, size, dtype, device, key_heads=1), None, True))
    yield Sample("interleaved, offset", (offset(query), offset(key), offset(cos), offset(sin), None, True))
    yield Sample("interleaved, split", (*call(3, 511, 17, 126, dtype, device, key_heads=5), None, True))
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
    positions = torch.zeros(4, dtype=torch.int64, device=device)
    yield ErrorSample("positions dtype", (q, k, cos, sin, positions.int()), ("positions", "int32", "expected int64"))
    yield ErrorSample("positions shape", (q, k, cos, sin, positions[:3]), ("positions", "[3]", "[2, 4]", "[4]"))
    yield ErrorSample("positions device", (q, k, cos, sin, positions.to("meta")), ("positions", "meta", str(device)))
    if device == "cpu":  # a GPU uses the nearest row instead
        for value in (4, -1, 1 << 40):
            wrong_positions = positions.clone()
            wrong_positions[2] = value
            yield ErrorSample(
                f"position {value}", (q, k, cos, sin, wrong_positions), ("positions", str(value), "0 to 3")
            )
    yield ErrorSample(
        "sin shorter than cos", (q, k, tables(5, 8, q.dtype, device)[0], sin, positions), ("sin", "[4, 8]", "[5, 8]")
    )
    yield ErrorSample("interleaved no bool", (q, k, cos, sin, None, "yes"), ("interleaved", "bool"))
    yield ErrorSample("mixed devices", (q, k.to("meta"), cos, sin), ("key", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (q, k, cos, None), ("sin", "Tensor"))


def rows(length: int, dtype: torch.dtype, device: str) -> list[tuple]:
    """Heads whose halves have `length` elements, in both layouts."""
    half_split = call(1, 2, 1, 2 * length, dtype, device)
    return [half_split, (*half_split, None, True)]


def drawn(draw: Draw) -> tuple:
    batch, sequence, dim = draw.size(0, 3), draw.size(0, 9), 2 * draw.size(0, 40)
    heads, key_heads = draw.size(0, 5), draw.size(0, 5)
    query = draw.tensor((batch, sequence, heads, dim))
    key = draw.tensor((batch, sequence, key_heads, dim))
    rows = draw.size(1, 9)
    positions = draw.choice((None, (sequence,), (batch, sequence)))
    table = (sequence if positions is None else rows, dim)
    indices = None if positions is None else draw.integers(positions, 0, rows)
    return query, key, draw.tensor(table), draw.tensor(table), indices, draw.choice((False, True))


def large(device: str) -> tuple[tuple, tuple]:
    """A large batch without key heads, so that the tables stay small."""
    query = large_matrix(device).view(-1, 2, 1, LARGE_COLUMNS)
    key = query[:, :, :0]
    cos, sin = (randn((2, LARGE_COLUMNS), query.dtype, device, seed=s) for s in "cs")
    return (query, key, cos, sin), (query[-2:], key[-2:], cos, sin)


def bench(batch: int, sequence: int, heads: int, size: int, **options: bool) -> BenchSample:
    """A sample of the talk's sizes, in which query and key have the same number of heads."""
    shape = (batch, sequence, heads, size)

    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn(shape, dtype, device), big_randn(shape, dtype, device), *tables(sequence, size, dtype, device)

    return BenchSample("x".join(map(str, shape)), make, 2 * math.prod(shape), **options)


def bench_layout(
    batch: int, sequence: int, heads: int, key_heads: int, size: int, name: str, interleaved: bool, **options: bool
) -> BenchSample:
    """A sample with tables of 8192 positions, gathered by position ids as in a decoder."""

    def make(dtype: torch.dtype, device: str) -> tuple:
        query = big_randn((batch, sequence, heads, size), dtype, device)
        key = big_randn((batch, sequence, key_heads, size), dtype, device)
        positions = (torch.arange(batch, device=device)[:, None] * 97 + torch.arange(sequence, device=device)) % 8192
        return query, key, *tables(8192, size, dtype, device), positions, interleaved

    return BenchSample(name, make, batch * sequence * (heads + key_heads) * size, **options)


def cost(
    query: torch.Tensor,
    key: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor | None = None,
    interleaved: bool = False,
) -> Cost:
    rotated = query.numel() + key.numel()
    rows = query.shape[1] if positions is None else positions.numel()
    return Cost(bytes=(2 * rotated + 2 * rows * query.shape[3]) * query.element_size(), flops=3 * rotated)


SPEC = OpSpec(
    name="rope",
    schema=(
        "(Tensor query, Tensor key, Tensor cos, Tensor sin, Tensor? positions=None, bool interleaved=False)"
        " -> (Tensor, Tensor)"
    ),
    out_schema=(
        "(Tensor query, Tensor key, Tensor cos, Tensor sin, Tensor? positions=None, bool interleaved=False, *,"
        " Tensor(a!) query_out, Tensor(b!) key_out) -> ()"
    ),
    gradients=("query", "key", "cos", "sin"),
    autocast="widest",
    reference=reference,
    formula=formula,
    eager=reference,
    samples=samples,
    jit_samples=("2x7x4x64", "interleaved, positions [S]"),
    sized=lambda n, dtype, device: call(2 * n, 7 * n, 4 * n, 8 * n, dtype, device, key_heads=2 * n),
    rows=rows,
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 128, 4, 32, quick=True),
        bench(1, 512, 8, 64),
        bench(4, 2048, 16, 128, quick=True),
        bench(8, 4096, 32, 128),
        bench_layout(64, 1, 32, 8, 128, "Llama-3-8B decode, batch 64, by position", False),
        bench_layout(1, 2048, 16, 16, 256, "GPT-J prefill 2048, interleaved, by position", True),
    ),
    error_samples=error_samples,
    cost=cost,
)
