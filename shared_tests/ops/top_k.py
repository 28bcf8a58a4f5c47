"""top_k: the k largest elements of the last dimension and their indices, in a fixed order."""

import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, special_values, strided, transposed


def reference(x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A stable sort, so that equal elements keep the order of their indices. NaN is the largest; -0.0 equals 0.0."""
    values, indices = x.sort(dim=-1, descending=True, stable=True)
    return values[..., :k].contiguous(), indices[..., :k].contiguous()


def levels(shape: tuple[int, ...], count: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """Elements drawn from `count` different values, so that most have duplicates."""
    return (randn(shape, torch.float32, device) * 1e4).long().remainder(count).to(dtype) - count // 2


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    sizes = (
        (1, 1),
        (2, 2),
        (7, 3),
        (7, 7),
        (8, 8),
        (16, 1),
        (17, 16),
        (31, 8),
        (64, 8),
        (83, 50),
        (256, 8),
        (256, 256),
    )
    for size, k in (*sizes, (257, 256), (769, 100), (4097, 64), (5125, 256), (13824, 1), (50257, 50), (70001, 256)):
        yield Sample(f"{size}, k={k}", (randn((3, size), dtype, device), k))
    yield Sample("vector", (randn((1031,), dtype, device), 5))
    yield Sample("no rows", (randn((0, 5), dtype, device), 2))
    yield Sample("2x3x4x33", (randn((2, 3, 4, 33), dtype, device), 4))
    yield Sample("many rows", (randn((PARALLEL // 64 + 1, 64), dtype, device), 2))
    yield Sample("one long row", (randn((1, 1 << 20), dtype, device), 200))
    x = randn((33, 18), dtype, device)
    yield Sample("transposed", (transposed(x), 5))
    yield Sample("strided", (strided(x), 5))
    yield Sample("offset", (offset(x), 5))
    yield Sample("expanded", (x[:1].expand(33, 18), 5))
    for size, k in ((83, 20), (1031, 256), (40000, 77), (1 << 18, 256)):
        yield Sample(f"all equal, {size}", (torch.full((2, size), -1.5, dtype=dtype, device=device), k))
        yield Sample(f"three levels, {size}", (levels((2, size), 3, dtype, device), k))
        yield Sample(f"many levels, {size}", (levels((2, size), 200, dtype, device), k))
        yield Sample(f"signed zeros, {size}", (levels((2, size), 2, dtype, device) * 0.0, k))
        rising = torch.linspace(-3, 3, size, device=device).to(dtype)
        yield Sample(f"ascending, {size}", (rising, k))
        yield Sample(f"descending, {size}", (rising.flip(0), k))
    special = special_values(dtype, device)
    bits = torch.int32 if dtype is torch.float32 else torch.int16
    negative_nan = (special[:1].view(bits) | torch.iinfo(bits).min).view(dtype)
    special = torch.cat((special, -special, negative_nan, special[:9]))
    yield Sample("special values", (special, special.numel()))
    for size in (1031, 40000):
        x = randn((4, size), dtype, device)
        for row, values in enumerate((special, special[2:3], special[:3].repeat(20))):
            x[row, 5 : 5 + 11 * values.numel() : 11] = values
        yield Sample(f"special values among others, {size}", (x, 60))
    x = randn((6, 50257), dtype, device)
    for row, column in enumerate((0, 3, 17, 130, 4999, 50256)):
        x[row, column] = math.nan
    yield Sample("one NaN in a long row", (x, 5))
    yield Sample("-inf but for two", (torch.full((1, 5000), -math.inf, dtype=dtype, device=device).index_fill(
        1, torch.tensor([3, 4800], device=device), 0.5), 9))  # fmt: skip
    yield Sample("NaN everywhere", (torch.full((2, 9000), math.nan, dtype=dtype, device=device), 50))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), 2), ("x", "float64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("0-d x", (x[0, 0], 1), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("k of zero", (x, 0), ("k is 0", "expected 1 to 256 and at most 8"))
    yield ErrorSample("negative k", (x, -1), ("k is -1", "expected 1 to 256 and at most 8"))
    yield ErrorSample("k beyond the dimension", (x, 9), ("k is 9", "at most 8", "the last dimension of x"))
    yield ErrorSample("k too large", (torch.ones(2, 1000, device=device), 257), ("k is 257", "expected 1 to 256"))
    yield ErrorSample("empty dimension", (x[:, :0], 1), ("k is 1", "at most 0"))
    yield ErrorSample("k not an integer", (x, 2.5), ("k", "int"))
    yield ErrorSample("k of None", (x, None), ("k", "int"))
    yield ErrorSample("non-tensor", ([1.0, 2.0], 1), ("x", "Tensor"))


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    return (x, 8), (x[-4:], 8)


def bench(rows: int, size: int, k: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), k

    return BenchSample(f"{name}, {rows}x{size}, k={k}", make, rows * size, **options)


def drawn(draw: Draw) -> tuple:
    """Normal values, or small integers with many duplicates."""
    shape = (*draw.shape(1, 3)[:-1], draw.size(1))
    has_duplicates = draw.choice((False, True))
    x = draw.integers(shape, -2, 3).to(draw.dtype) if has_duplicates else draw.tensor(shape)
    return x, draw.size(1, min(shape[-1], 256))


SPEC = OpSpec(
    name="top_k",
    schema="(Tensor x, int k) -> (Tensor, Tensor)",
    out_schema="(Tensor x, int k, *, Tensor(a!) values, Tensor(b!) indices) -> ()",
    reference=reference,
    formula=lambda x, k: (None, None),  # elements and indices are not rounded
    eager=lambda x, k: tuple(torch.topk(x, k)),
    eager_out=lambda x, k, values, indices: torch.topk(x, k, out=(values, indices)),
    eager_is_exact=False,
    samples=samples,
    jit_samples=("83, k=50",),
    sized=lambda n, dtype, device: (randn((2 * n, 9 * n), dtype, device), 5),
    rows=lambda length, dtype, device: [(randn((3, length), dtype, device), 50)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 50257, 50, "GPT-2 sampling", quick=True),
        bench(8, 128256, 1, "Llama-3-8B greedy batch 8"),
        bench(64, 128256, 256, "Llama-3-8B batch 64"),
        bench(2048, 64, 8, "64 experts prefill", quick=True),
        bench(4096, 256, 8, "256 experts prefill"),
    ),
    error_samples=error_samples,
    gradients=("x",),
    cost=lambda x, k: Cost(
        bytes=x.numel() * x.element_size() + x[..., :k].numel() * (x.element_size() + 8), flops=x.numel()
    ),
)
