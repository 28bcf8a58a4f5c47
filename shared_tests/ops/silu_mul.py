"""silu_mul: the gated unit SwiGLU (Shazeer, arXiv:2002.05202) on the results of two matrix products."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.ops.silu_and_mul import gates, shapes
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, large_matrix, offset, randn, strided, transposed


def reference(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return F.silu(gate) * up


def formula(gate: Bounded, up: Bounded) -> Bounded:
    return gate * gate.logistic() * up


def eager_out(gate: torch.Tensor, up: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    torch.ops.aten.silu.out(gate, out=out)
    return out.mul_(up)


def pair(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return 3 * randn(shape, dtype, device, seed="gate"), 3 * randn(shape, dtype, device, seed="up")


def pairs(dtype: torch.dtype, device: str) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Ids and pairs of gate and up in every size, layout and kind of value except overflow."""
    for shape in ((), *shapes()):
        gate, up = pair(shape, dtype, device)
        yield "x".join(map(str, shape)) or "0-d", gate, up
    gate, up = pair((33, 18), dtype, device)
    yield "transposed", transposed(gate), transposed(up)
    yield "transposed gate", transposed(gate), up
    yield "strided", strided(gate), strided(up)
    yield "strided up", gate, strided(up)
    yield "offset", offset(gate), offset(up)
    yield "offset up", gate, offset(up)
    yield "expanded", gate[:1].expand(33, 18), up[:1].expand(33, 18)
    first, second = torch.cat([gate, up], -1).chunk(2, -1)
    yield "halves of one tensor", first, second
    yield "same tensor twice", gate, gate
    for name, x in gates(dtype, device):
        if name != "overflow":
            gate, up = x.chunk(2, -1)
            yield name, gate.contiguous(), up.contiguous()


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for name, gate, up in pairs(dtype, device):
        yield Sample(name, (gate, up))
    yield Sample("overflow", dict(gates(dtype, device))["overflow"].chunk(2, -1))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), x.double()),
                      ("gate", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("integer", (x.long(), x.long()), ("gate", "int64", "expected float32, bfloat16 or float16"))
    yield ErrorSample("dtypes differ", (x, x.half()), ("up", "float16", "expected float32"))
    yield ErrorSample("shapes differ", (x, x[:, :7]), ("up", "[3, 7]", "expected [3, 8]"))
    yield ErrorSample("no broadcasting", (x, x[:1]), ("up", "[1, 8]", "expected [3, 8]"))
    yield ErrorSample("ranks differ", (x, x[0]), ("up", "[8]", "expected [3, 8]"))
    yield ErrorSample("mixed devices", (x, x.to("meta")), ("up", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (x, 3.0), ("up", "float", "Tensor"))
    yield ErrorSample("None", (None, x), ("gate", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape()
    return draw.tensor(shape), draw.tensor(shape)


def large(device: str) -> tuple[tuple, tuple]:
    x = large_matrix(device)
    return (x, x), (x[-4:], x[-4:])


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), big_randn((rows, size), dtype, device)

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


SPEC = OpSpec(
    name="silu_mul",
    schema="(Tensor gate, Tensor up) -> Tensor",
    out_schema="(Tensor gate, Tensor up, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    autocast="widest",
    eager=reference,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("5x83",),
    sized=lambda n, dtype, device: pair((2 * n, 9 * n), dtype, device),
    rows=lambda length, dtype, device: [pair((3, length), dtype, device)],
    large=large,
    drawn=drawn,
    bench_samples=(
        bench(1, 14336, "Llama-3-8B decode", quick=True),
        bench(64, 14336, "Llama-3-8B batch 64"),
        bench(512, 14336, "Llama-3-8B prefill", quick=True),
    ),
    error_samples=error_samples,
    out_may_be_input=True,
    gradients=("gate", "up"),
    # The argument of exp, exp counted as one operation, 1 +, the quotient and the product.
    cost=lambda gate, up: Cost(bytes=3 * gate.numel() * gate.element_size(), flops=5 * gate.numel()),
)
