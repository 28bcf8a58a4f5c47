"""silu_mul_backward: the gradients of silu_mul."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.ops.silu_mul import pair, pairs
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, offset, randn, special_values, strided, transposed

silu_backward = torch.ops.aten.silu_backward

LAYOUTS = {"transposed": transposed, "strided": strided, "offset": offset}


def reference(grad: torch.Tensor, gate: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return silu_backward(grad * up, gate), grad * F.silu(gate)


def formula(grad: Bounded, gate: Bounded, up: Bounded) -> tuple[Bounded, Bounded]:
    s = gate.logistic()
    return grad * up * (s * (1 + gate * (1 - s))), grad * (gate * s)


def eager_out(
    grad: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, grad_gate: torch.Tensor, grad_up: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Writes into existing outputs, using grad_up for the intermediate product."""
    torch.mul(grad, up, out=grad_up)
    silu_backward.grad_input(grad_up, gate, grad_input=grad_gate)
    torch.ops.aten.silu.out(gate, out=grad_up)
    grad_up.mul_(grad)
    return grad_gate, grad_up


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for name, gate, up in pairs(dtype, device):
        definite = name in ("special gate", "special factor", "tails")
        grad = torch.ones_like(gate) if definite else randn(tuple(gate.shape), dtype, device, seed="grad")
        yield Sample(name, (LAYOUTS.get(name, lambda x: x)(grad), gate, up))
    special = special_values(dtype, device)
    yield Sample("special gradient", (special, torch.ones_like(special), torch.ones_like(special)))


def error_samples(device: str) -> Iterator[ErrorSample]:
    x = torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (x.double(), x.double(), x.double()),
                      ("grad", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("dtype of gate differs", (x, x.half(), x), ("gate", "float16", "expected float32"))
    yield ErrorSample("dtype of up differs", (x, x, x.half()), ("up", "float16", "expected float32"))
    yield ErrorSample("shape of gate differs", (x, x[:, :7], x), ("gate", "[3, 7]", "expected [3, 8]"))
    yield ErrorSample("shape of up differs", (x, x, x[:1]), ("up", "[1, 8]", "expected [3, 8]"))
    yield ErrorSample("rank of grad differs", (x[0], x, x), ("gate", "[3, 8]", "expected [8]"))
    yield ErrorSample("mixed devices", (x, x, x.to("meta")), ("up", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (x, x, 1.0), ("up", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape()
    return draw.tensor(shape), draw.tensor(shape), draw.tensor(shape)


def sized(n: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    shape = (2 * n, 9 * n)
    return randn(shape, dtype, device, seed="grad"), *pair(shape, dtype, device)


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return tuple(big_randn((rows, size), dtype, device) for _ in range(3))

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


SPEC = OpSpec(
    name="silu_mul_backward",
    schema="(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)",
    out_schema="(Tensor grad, Tensor gate, Tensor up, *, Tensor(a!) grad_gate, Tensor(b!) grad_up) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("5x83",),
    sized=sized,
    rows=lambda length, dtype, device: [(randn((3, length), dtype, device), *pair((3, length), dtype, device))],
    drawn=drawn,
    bench_samples=(
        bench(16, 14336, "Llama-3-8B, 16 tokens", quick=True),
        bench(128, 14336, "Llama-3-8B, 128 tokens"),
        bench(512, 14336, "Llama-3-8B, 512 tokens", quick=True),
    ),
    error_samples=error_samples,
    # The logistic function takes four operations, exp counted as one; gate takes five more and up takes two.
    cost=lambda grad, gate, up: Cost(bytes=5 * grad.numel() * grad.element_size(), flops=11 * grad.numel()),
)
