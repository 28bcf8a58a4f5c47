"""silu_and_mul_backward: the gradient of silu_and_mul."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.ops.silu_and_mul import doubled, gates, shapes
from shared_tests.rounding import Bounded, cat
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, offset, randn, special_values, strided, transposed

silu_backward = torch.ops.aten.silu_backward


def reference(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    gate, up = x.chunk(2, -1)
    return torch.cat([silu_backward(grad * up, gate), grad * F.silu(gate)], -1)


def formula(grad: Bounded, x: Bounded) -> Bounded:
    gate, up = x.chunk(2, -1)
    s = gate.logistic()
    return cat([grad * up * (s * (1 + gate * (1 - s))), grad * (gate * s)])


def eager_out(grad: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Writes into the halves of one tensor, which avoids the copy that `cat` would make."""
    gate, up = x.chunk(2, -1)
    grad_gate, grad_up = out.chunk(2, -1)
    torch.mul(grad, up, out=grad_up)
    silu_backward.grad_input(grad_up, gate, grad_input=grad_gate)
    torch.ops.aten.silu.out(gate, out=grad_up)
    grad_up.mul_(grad)
    return out


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in shapes():
        grad = randn(shape, dtype, device, seed="grad")
        yield Sample("x".join(map(str, shape)), (grad, 3 * randn(doubled(shape), dtype, device)))
    grad, x = randn((33, 9), dtype, device), 3 * randn((33, 18), dtype, device)
    yield Sample("transposed", (transposed(grad), transposed(x)))
    yield Sample("strided", (strided(grad), strided(x)))
    yield Sample("offset", (offset(grad), offset(x)))
    yield Sample("expanded", (grad[:1].expand(33, 9), x[:1].expand(33, 18)))
    for name, x in gates(dtype, device):
        if name != "overflow":
            yield Sample(name, (torch.ones_like(x[..., : x.shape[-1] // 2]), x))
    special = special_values(dtype, device)
    yield Sample("special gradient", (special, torch.ones(2 * special.numel(), dtype=dtype, device=device)))


def error_samples(device: str) -> Iterator[ErrorSample]:
    grad, x = torch.ones(3, 4, device=device), torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (grad.double(), x.double()),
                      ("grad", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("dtypes differ", (grad, x.half()), ("x", "float16", "expected float32"))
    yield ErrorSample("0-d x", (grad, x[0, 0]), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("odd last dimension", (grad, x[:, :7]), ("x", "7", "expected an even number"))
    yield ErrorSample("grad as wide as x", (x, x), ("grad", "[3, 8]", "expected [3, 4]"))
    yield ErrorSample("grad of rank 1", (grad[0], x), ("grad", "[4]", "expected [3, 4]"))
    yield ErrorSample("mixed devices", (grad, x.to("meta")), ("x", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (grad, 1.0), ("x", "Tensor"))


def drawn(draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape(1)
    return draw.tensor(shape), draw.tensor(doubled(shape))


def bench(rows: int, size: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return big_randn((rows, size), dtype, device), big_randn((rows, 2 * size), dtype, device)

    return BenchSample(f"{name}, {rows}x{size}", make, math.prod((rows, size)), **options)


SPEC = OpSpec(
    name="silu_and_mul_backward",
    schema="(Tensor grad, Tensor x) -> Tensor",
    out_schema="(Tensor grad, Tensor x, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=reference,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("5x83",),
    # the last dimensions are fixed, because one is twice the other; silu_and_mul tests dynamic ones
    sized=lambda n, dtype, device: (randn((2 * n, 5 * n, 9), dtype, device), randn((2 * n, 5 * n, 18), dtype, device)),
    rows=lambda length, dtype, device: [(randn((3, length), dtype, device), randn((3, 2 * length), dtype, device))],
    drawn=drawn,
    bench_samples=(
        bench(16, 14336, "Llama-3-8B, 16 tokens", quick=True),
        bench(128, 14336, "Llama-3-8B, 128 tokens"),
        bench(512, 14336, "Llama-3-8B, 512 tokens", quick=True),
    ),
    error_samples=error_samples,
    # The logistic function takes four operations, exp counted as one; the halves take five and two more.
    cost=lambda grad, x: Cost(bytes=5 * grad.numel() * grad.element_size(), flops=11 * grad.numel()),
)
