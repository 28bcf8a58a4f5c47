"""silu_and_mul: the gated unit SwiGLU (Shazeer, arXiv:2002.05202), whose halves come from one matrix product."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, large_matrix, offset, randn, special_values, strided, transposed


def reference(x: torch.Tensor) -> torch.Tensor:
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


def formula(x: Bounded) -> Bounded:
    gate, up = x.chunk(2, -1)
    return gate * gate.logistic() * up


def eager_out(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    gate, up = x.chunk(2, -1)
    torch.ops.aten.silu.out(gate, out=out)
    return out.mul_(up)


def shapes() -> Iterator[tuple[int, ...]]:
    """Shapes of the output: every kind of remainder, odd halves, which misalign the second half, and split rows."""
    yield from ((1,), (0, 8), (3, 0), (7,), (83,), (16,), (5, 83), (2, 769), (3, 5125), (2, 13824), (2, 3, 4, 5))
    yield from ((131, 2048), (PARALLEL // 2045 + 1, 2045), (70001, 5), (1, 1 << 18))


def doubled(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-1], 2 * shape[-1])


def gates(dtype: torch.dtype, device: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Inputs with every kind of value in one half, and values in the other half for which the result is defined."""
    special = special_values(dtype, device)
    ones = torch.ones_like(special)
    yield "special gate", torch.stack([torch.cat([special, ones]), torch.cat([special, -ones])])
    yield "special factor", torch.cat([ones, special])
    tails = torch.linspace(-110, 110, 4801, dtype=torch.float64).to(dtype).to(device)
    yield "tails", torch.cat([tails, torch.ones_like(tails)])
    limits = torch.tensor([torch.finfo(dtype).max, 1.0, -1.0, torch.finfo(dtype).min], dtype=dtype, device=device)
    yield "overflow", torch.cat([limits[:1].expand(4), limits])


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in shapes():
        yield Sample("x".join(map(str, shape)), (3 * randn(doubled(shape), dtype, device),))
    x = 3 * randn((33, 18), dtype, device)
    yield Sample("transposed", (transposed(x),))
    yield Sample("strided", (strided(x),))
    yield Sample("offset", (offset(x),))
    yield Sample("expanded", (x[:1].expand(33, 18),))
    for name, x in gates(dtype, device):
        yield Sample(name, (x,))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(),), ("x", "float64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("integer", (x.long(),), ("x", "int64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("0-d x", (x[0, 0],), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("odd last dimension", (x[:, :7],), ("x", "7", "expected an even number"))
    yield ErrorSample("non-tensor", (3.0,), ("x", "Tensor"))
    yield ErrorSample("None", (None,), ("x", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    return (draw.tensor(doubled(draw.shape(1))),)


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    return (x,), (x[-4:],)


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return (big_randn((rows, 2 * size), dtype, device),)

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


SPEC = OpSpec(
    name="silu_and_mul",
    schema="(Tensor x) -> Tensor",
    out_schema="(Tensor x, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("5x83",),
    sized=lambda n, dtype, device: (randn((2 * n, 18 * n), dtype, device),),
    rows=lambda length, dtype, device: [(randn((3, 2 * length), dtype, device),)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 14336, "Llama-3-8B decode", quick=True),
        bench(64, 14336, "Llama-3-8B batch 64"),
        bench(512, 14336, "Llama-3-8B prefill", quick=True),
        bench(512, 18944, "Qwen-2.5-7B prefill"),
    ),
    error_samples=error_samples,
    gradients=("x",),
    # The argument of exp, exp counted as one operation, 1 +, the quotient and the product.
    cost=lambda x: Cost(bytes=x.numel() * 3 // 2 * x.element_size(), flops=5 * x.numel() // 2),
)
