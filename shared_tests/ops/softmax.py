"""softmax: softmax(scale * x + mask) over the last dimension, as in attention (Vaswani et al., arXiv:1706.03762)."""

import math
from collections.abc import Iterator, Sequence

import torch

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded, exponentials
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import (
    PARALLEL,
    big_randn,
    offset,
    randn,
    special_values,
    strided,
    transposed,
)

Mask = torch.Tensor | None
INF = math.inf


def reference(x: torch.Tensor, mask: Mask, scale: float) -> torch.Tensor:
    scores = x if scale == 1 else x * scale
    return torch.softmax(scores if mask is None else scores + mask, -1)


def formula(x: Bounded, mask: Bounded | None, scale: float) -> Bounded:
    scores = x * scale
    powers = exponentials(scores if mask is None else scores + mask)
    return powers / powers.sum(-1)


def eager_out(x: torch.Tensor, mask: Mask, scale: float, out: torch.Tensor) -> None:
    scores = x if scale == 1 else x * scale
    torch.ops.aten._softmax.out(scores if mask is None else scores + mask, -1, False, out=out)


def causal(size: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """A mask [size, size] that is 0 up to the diagonal and -inf after it."""
    return torch.full((size, size), -INF, dtype=dtype, device=device).triu_(1)


def rows_of(values: Sequence[float], dtype: torch.dtype, device: str) -> torch.Tensor:
    """Three rows: ones, the values repeated over more than one vector, and ones."""
    special = torch.tensor(list(values), dtype=torch.float64).repeat(13).to(dtype).to(device)
    return torch.stack([torch.ones_like(special), special, torch.ones_like(special)])


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    def x_of(*shape: int) -> torch.Tensor:
        return 3 * randn(shape, dtype, device)

    def mask_of(*shape: int) -> torch.Tensor:
        return randn(shape, dtype, device, seed="mask")

    for shape in ((1,), (1, 1), (0, 8), (3, 0), (7,), (5, 83), (2, 769), (3, 5125), (1, 13824), (2, 3, 4, 33)):
        yield Sample("x".join(map(str, shape)), (x_of(*shape), None, 1.0))
    yield Sample("longer than what is held", (x_of(2, (1 << 17) + 3), None, 1.0))
    yield Sample("split over threads", (x_of(PARALLEL // 2045 + 1, 2045), mask_of(2045), 0.125))
    yield Sample("few long rows", (x_of(3, 50257), mask_of(50257), 0.5))
    yield Sample("one long row", (x_of(1, 128256), mask_of(1), 0.5))
    hidden = mask_of(2, 50257)
    hidden[0, 9:30000] = -INF
    hidden[1] = -INF
    yield Sample("few long rows, masked", (x_of(2, 50257), hidden, 1.0))
    yield Sample("split over threads, short rows", (x_of(PARALLEL // 5 + 1, 5), None, 0.5))

    x = x_of(2, 3, 5, 33)
    for mask_shape in (
        (),
        (1,),
        (33,),
        (5, 1),
        (5, 33),
        (3, 1, 33),
        (2, 1, 1, 33),
        (2, 1, 5, 33),
        (1, 3, 1, 1),
        (2, 3, 5, 33),
    ):
        yield Sample(f"mask {list(mask_shape)}", (x, mask_of(*mask_shape), 0.25))
    yield Sample("mask broadcasts over two dimensions apart", (x_of(2, 3, 2, 5, 7), mask_of(2, 1, 2, 1, 7), 1.0))
    yield Sample("one column", (x_of(4, 1), mask_of(4, 1), 1.0))
    yield Sample("negative scale", (x, None, -0.5))
    yield Sample("scale 0", (x, mask_of(33), 0.0))
    yield Sample("causal", (x_of(2, 3, 37, 37), causal(37, dtype, device), 0.125))
    yield Sample("causal, long rows", (x_of(2, 1100, 1100), causal(1100, dtype, device), 0.125))
    padding_mask = mask_of(2, 1, 1, 33)
    padding_mask[0, ..., 7:] = -INF
    padding_mask[1] = -INF  # a fully masked row gives NaN, as in PyTorch
    yield Sample("padding, one row all masked", (x, padding_mask, 0.125))
    lowest = torch.full((33,), torch.finfo(dtype).min, dtype=dtype, device=device)
    yield Sample("all masked with the lowest number", (x, lowest, 0.125))

    y, weight = x_of(33, 18), mask_of(33, 18)
    yield Sample("transposed", (transposed(y), transposed(weight), 0.5))
    yield Sample("strided", (strided(y), strided(weight), 0.5))
    yield Sample("offset", (offset(y), offset(weight), 0.5))
    yield Sample("expanded", (y[:1].expand(33, 18), weight[:1].expand(33, 18), 0.5))
    yield Sample("large values", (100 * y, None, 1.0))
    yield Sample("equal values", (torch.full((3, 83), 5.0, dtype=dtype, device=device), None, 1.0))
    for name, values in (
        ("a NaN", [math.nan, 1, 2]),
        ("+inf", [INF, 1, 2]),
        ("-inf", [-INF, 1, 2]),
        ("-inf alone", [-INF]),
        ("the largest number", [torch.finfo(dtype).max, 1, 2]),
        ("the lowest number", [torch.finfo(dtype).min, 1, 2]),
        ("far apart", [104, -104, 88]),
    ):
        yield Sample(f"a row with {name}", (rows_of(values, dtype, device), None, 1.0))
    special = special_values(dtype, device)
    yield Sample("special values", (torch.stack([special, special.nan_to_num(0, 1, -1)]), None, 0.5))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, mask = torch.ones(3, 4, 8, device=device), torch.zeros(4, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), None, 1.0), ("x", "float64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("integers", (x.long(), None, 1.0), ("x", "int64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("mask of another dtype", (x, mask.bfloat16(), 1.0), ("mask", "bfloat16", "expected float32"))
    yield ErrorSample("mask of bool", (x, mask.bool(), 1.0), ("mask", "bool", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0, 0], None, 1.0), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("mask too short", (x, mask[:, :7], 1.0), ("mask", "[4, 7]", "broadcasts to [3, 4, 8]"))
    yield ErrorSample("mask with other rows", (x, mask[:3], 1.0), ("mask", "[3, 8]", "broadcasts to [3, 4, 8]"))
    yield ErrorSample("mask of higher rank", (x, x[None], 1.0), ("mask", "[1, 3, 4, 8]", "broadcasts to [3, 4, 8]"))
    yield ErrorSample("mixed devices", (x, mask.to("meta"), 1.0), ("mask", "meta", f"expected {device}"))
    yield ErrorSample("None for x", (None, mask, 1.0), ("x",))
    yield ErrorSample("non-tensor mask", (x, 1.0, 1.0), ("mask", "Tensor"))
    yield ErrorSample("scale not a number", (x, None, "half"), ("scale", "float"))


def sized(n: int, dtype: torch.dtype, device: str) -> tuple:
    return randn((2 * n, 9 * n), dtype, device), randn((9 * n,), dtype, device, seed="mask"), 0.5


def attention(name: str, heads: int, queries: int, keys: int, **options: bool) -> BenchSample:
    """A sample: attention scores of one sequence with heads of 128 elements, under a causal mask."""

    def make(dtype: torch.dtype, device: str) -> tuple:
        x = big_randn((1, heads, queries, keys), dtype, device)
        mask = torch.full((queries, keys), -INF, dtype=dtype, device=device).triu_(1 + keys - queries)
        return x, mask, 128**-0.5

    return BenchSample(name, make, heads * queries * keys, **options)


def sampling(name: str, batch: int, vocabulary: int, **options: bool) -> BenchSample:
    """A sample: probabilities of the next token at temperature 1."""
    return BenchSample(
        name,
        lambda dtype, device: (big_randn((batch, vocabulary), dtype, device), None, 1.0),
        batch * vocabulary,
        **options,
    )


def rows(length: int, dtype: torch.dtype, device: str) -> list[tuple]:
    """Calls without a mask and with a mask of the row's length."""
    x, mask = randn((3, length), dtype, device), randn((length,), dtype, device, seed="mask")
    return [(x, None, 0.5), (x, mask, 0.5)]


def drawn(draw: Draw) -> tuple:
    """A call whose mask, if it has one, broadcasts; a third of the masks contain -inf."""
    shape = draw.shape(1)
    mask_shape = tuple(size if draw.choice((True, True, False)) else 1 for size in shape)
    mask = draw.tensor(mask_shape[draw.choice(range(len(shape) + 1)) :]) if draw.choice((False, True, True)) else None
    if mask is not None and draw.choice((False, False, True)):
        mask = mask.masked_fill(mask > 0, -INF)
    return draw.tensor(shape), mask, draw.choice((1.0, 0.125, -0.5))


def cost(x: torch.Tensor, mask: Mask, scale: float) -> Cost:
    moved = 2 * x.numel() + (0 if mask is None else mask.numel())
    return Cost(bytes=moved * x.element_size(), flops=5 * x.numel())


SPEC = OpSpec(
    name="softmax",
    schema="(Tensor x, Tensor? mask, float scale) -> Tensor",
    out_schema="(Tensor x, Tensor? mask, float scale, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("mask [33]",),
    sized=sized,
    rows=rows,
    drawn=drawn,
    bench_samples=(
        attention("Llama-3-8B decode over 2048 keys, 32x1x2048", 32, 1, 2048, quick=True),
        attention("Llama-3-8B prefill, 32x512x512", 32, 512, 512, quick=True),
        sampling("Llama-3-8B sampling, 1x128256", 1, 128256),
        sampling("GPT-2 sampling, batch 8, 8x50257", 8, 50257),
        sampling("Llama-3-8B sampling, batch 64, 64x128256", 64, 128256),
    ),
    error_samples=error_samples,
    cost=cost,
    out_may_be_input=True,
    gradients=("x", "mask"),
    autocast="float32",
)
