"""gpt2_mlp: the feed-forward part of a GPT-2 block, two linear layers with a GELU between them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.ops import gelu_tanh
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, offset, randn, strided, transposed


def eager(x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> torch.Tensor:
    """GPT2MLP of transformers, whose Conv1D calls addmm, as F.linear does."""
    return F.linear(F.gelu(F.linear(x, w1.t(), b1), approximate="tanh"), w2.t(), b2)


def reference(x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> torch.Tensor:
    return F.linear(gelu_tanh.reference(F.linear(x, w1.t(), b1)), w2.t(), b2)


def formula(x: Bounded, w1: Bounded, b1: Bounded, w2: Bounded, b2: Bounded) -> Bounded:
    """The product and the hidden layer may be rounded to the storage dtype, as in PyTorch."""
    hidden = gelu_tanh.formula(x.matmul(w1).stored() + b1).stored()
    return hidden.matmul(w2, b2)


def call(batch: tuple[int, ...], size: int, inner: int, out: int, dtype: torch.dtype, device: str) -> tuple:
    w1, w2 = randn((size, inner), dtype, device, seed="1"), randn((inner, out), dtype, device, seed="2")
    w1, w2 = w1 / max(1, size) ** 0.5, w2 / max(1, inner) ** 0.5
    b1, b2 = randn((inner,), dtype, device, seed="3"), randn((out,), dtype, device, seed="4")
    return randn((*batch, size), dtype, device, seed="x"), w1, b1, w2, b2


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for batch in ((), (0,), (1,), (2,), (5,), (17,), (2, 3)):
        yield Sample(f"{batch} x 24 to 96 to 24", call(batch, 24, 96, 24, dtype, device))
    for size, inner, out in ((83, 5, 7), (1, 1, 1), (7, 769, 3), (16, 33, 0), (769, 83, 129), (64, 5125, 65)):
        yield Sample(f"3 x {size} to {inner} to {out}", call((3,), size, inner, out, dtype, device))
    for size, inner in ((0, 3), (3, 0)):  # empty sums are zero
        yield Sample(f"3 x {size} to {inner} to 5", call((3,), size, inner, 5, dtype, device))
    for rows in (1, 2, 4, 5, 8):  # groups of columns and a remainder, more than are summed at once
        yield Sample(f"few: {rows} x 67 to 4133 to 2049", call((rows,), 67, 4133, 2049, dtype, device))
    yield Sample("split over threads", call((77,), 65, 1031, 63, dtype, device))
    tensors = call((4,), 34, 18, 10, dtype, device)
    yield Sample("strided", tuple(map(strided, tensors)))
    yield Sample("offset", tuple(map(offset, tensors)))
    yield Sample("transposed", tuple(transposed(t) if t.dim() == 2 else t for t in tensors))
    x, *rest = tensors
    yield Sample("NaN in one row", (x.clone().index_fill_(0, torch.tensor([3], device=device), float("nan")), *rest))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, w1, b1, w2, b2 = call((3,), 8, 12, 5, torch.float32, device)
    doubles = tuple(t.double() for t in (x, w1, b1, w2, b2))
    yield ErrorSample("wrong dtype", doubles, ("x", "float64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("w1 dtype", (x, w1.half(), b1, w2, b2), ("w1", "float16", "expected float32"))
    yield ErrorSample("b2 dtype", (x, w1, b1, w2, b2.bfloat16()), ("b2", "bfloat16", "expected float32"))
    yield ErrorSample("0-d x", (x[0, 0], w1, b1, w2, b2), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("w1 of rank 3", (x, w1[None], b1, w2, b2), ("w1", "3 dimensions", "expected 2 (in, out)"))
    yield ErrorSample("w2 of rank 1", (x, w1, b1, w2[0], b2), ("w2", "1 dimensions", "expected 2 (in, out)"))
    yield ErrorSample("w1 as nn.Linear has it", (x, w1.T, b1, w2, b2), ("w1", "[12, 8]", "expected [8, inner]"))
    yield ErrorSample("w2 too short", (x, w1, b1, w2[:11], b2), ("w2", "[11, 5]", "expected [12, out]"))
    yield ErrorSample("b1 shape", (x, w1, b1[None], w2, b2), ("b1", "[1, 12]", "expected [12]"))
    yield ErrorSample("b2 too long", (x, w1, b1, w2, b1), ("b2", "[12]", "expected [5]"))
    yield ErrorSample("mixed devices", (x, w1, b1.to("meta"), w2, b2), ("b1", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (x, w1, b1, w2, None), ("b2", "Tensor"))


def drawn(draw: Draw) -> tuple:
    batch, size, inner, out = draw.shape(0, 3)[:-1], draw.size(), draw.size(), draw.size(0, 20)
    x, w1, b1 = draw.tensor((*batch, size)), draw.tensor((size, inner)), draw.tensor((inner,))
    return x, w1, b1, draw.tensor((inner, out)), draw.tensor((out,))


def bench(batch: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        w1, w2 = big_randn((size, 4 * size), dtype, device), big_randn((4 * size, size), dtype, device)
        b1, b2 = randn((4 * size,), dtype, device), randn((size,), dtype, device, seed="2")
        return big_randn((batch, size), dtype, device), w1 / size**0.5, b1, w2 / (4 * size) ** 0.5, b2

    # The elements of the weights, which are most of what is read.
    return BenchSample(f"{name}, {batch}x{size}", make, 8 * size * size, **options)


def cost(x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> Cost:
    rows = x.numel() // max(1, x.shape[-1])
    moved = sum(t.numel() for t in (x, w1, b1, w2, b2)) + rows * (2 * w1.shape[1] + w2.shape[1])
    return Cost(bytes=moved * x.element_size(), flops=2 * rows * (w1.numel() + w2.numel()))


SPEC = OpSpec(
    name="gpt2_mlp",
    schema="(Tensor x, Tensor w1, Tensor b1, Tensor w2, Tensor b2) -> Tensor",
    out_schema="(Tensor x, Tensor w1, Tensor b1, Tensor w2, Tensor b2, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    autocast="lower",
    eager=eager,
    samples=samples,
    jit_samples=("(5,) x 24 to 96 to 24",),
    sized=lambda n, dtype, device: call((2 * n,), 9 * n, 5 * n, 3 * n, dtype, device),
    rows=lambda length, dtype, device: [call((3,), 24, length, 24, dtype, device)],
    drawn=drawn,
    bench_samples=(
        bench(1, 1024, "GPT-2 medium decode", quick=True),
        bench(1, 1024, "GPT-2 medium decode, weights in turn", in_turn=True),
        bench(8, 1024, "GPT-2 medium batch 8"),
        bench(64, 1024, "GPT-2 medium batch 64"),
        bench(512, 1024, "GPT-2 medium prefill", quick=True),
    ),
    error_samples=error_samples,
    cost=cost,
    deterministic="bit for bit up to 8 rows (bfloat16: up to 4 where PyTorch has a product for it); with more rows as "
    "PyTorch's product, which depends on the number of threads",
)
