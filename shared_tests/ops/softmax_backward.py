"""softmax_backward: the gradient of softmax with respect to its scaled input, from its result."""

import math
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, offset, randn, strided, transposed


def reference(grad: torch.Tensor, output: torch.Tensor, scale: float) -> torch.Tensor:
    return scale * output * (grad - (grad * output).sum(-1, keepdim=True))


def formula(grad: Bounded, output: Bounded, scale: float) -> Bounded:
    return output * scale * (grad - (grad * output).sum(-1))


def eager(grad: torch.Tensor, output: torch.Tensor, scale: float) -> torch.Tensor:
    result = torch.ops.aten._softmax_backward_data(grad, output, -1, grad.dtype)
    return result if scale == 1 else result * scale


def eager_out(grad: torch.Tensor, output: torch.Tensor, scale: float, out: torch.Tensor) -> None:
    torch.ops.aten._softmax_backward_data.out(grad, output, -1, grad.dtype, grad_input=out)
    if scale != 1:
        out.mul_(scale)


def call(shape: tuple[int, ...], dtype: torch.dtype, device: str, scale: float = 1.0, spread: float = 3.0) -> tuple:
    scores = spread * randn(shape, torch.float32, device, seed="scores")
    return randn(shape, dtype, device), torch.softmax(scores, -1).to(dtype), scale


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in (
        (1,),
        (1, 1),
        (0, 8),
        (3, 0),
        (7,),
        (5, 83),
        (2, 769),
        (3, 5125),
        (1, 13824),
        (2, 3, 4, 33),
        (PARALLEL // 2045 + 1, 2045),
        (PARALLEL // 5 + 1, 5),
    ):
        yield Sample("x".join(map(str, shape)), call(shape, dtype, device))
    grad, output, _ = call((33, 18), dtype, device)
    for scale in (0.125, -2.0, 0.0):
        yield Sample(f"scale {scale:g}", (grad, output, scale))
    yield Sample("transposed", (transposed(grad), transposed(output), 0.5))
    yield Sample("strided", (strided(grad), strided(output), 0.5))
    yield Sample("offset", (offset(grad), offset(output), 0.5))
    yield Sample("expanded", (grad[:1, :1].expand(33, 18), output, 0.5))
    masked = output.clone()
    masked[:, 9:] = 0
    yield Sample("nothing comes back through what was masked out", (grad, masked, 0.5))
    masked[3] = math.nan
    yield Sample("a row of NaN", (grad, masked, 0.5))


def error_samples(device: str) -> Iterator[ErrorSample]:
    grad, output = torch.ones(3, 8, device=device), torch.ones(3, 8, device=device)
    yield ErrorSample("wrong dtype", (grad.double(), output.double(), 1.0),
                      ("grad", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("dtypes differ", (grad, output.half(), 1.0), ("output", "float16", "expected float32"))
    yield ErrorSample("0-d grad", (grad[0, 0], output[0, 0], 1.0), ("grad", "0 dimensions", "expected at least 1"))
    yield ErrorSample("shapes differ", (grad, output[:, :7], 1.0), ("output", "[3, 7]", "expected [3, 8]"))
    yield ErrorSample("no broadcasting", (grad, output[:1], 1.0), ("output", "[1, 8]", "expected [3, 8]"))
    yield ErrorSample("mixed devices", (grad, output.to("meta"), 1.0), ("output", "meta", f"expected {device}"))
    yield ErrorSample("None for output", (grad, None, 1.0), ("output",))
    yield ErrorSample("scale not a number", (grad, output, "half"), ("scale", "float"))


def drawn(draw: Draw) -> tuple:
    shape = draw.shape(1)
    output = torch.softmax(randn(shape, torch.float32, draw.device, seed="scores"), -1).to(draw.dtype)
    return draw.tensor(shape), draw.laid_out(output, False), draw.choice((1.0, 0.125, -0.5))


def attention(name: str, heads: int, tokens: int, scale: float, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        shape = (1, heads, tokens, tokens)
        return big_randn(shape, dtype, device), torch.softmax(3 * big_randn(shape, dtype, device), -1), scale

    return BenchSample(name, make, heads * tokens * tokens, **options)


SPEC = OpSpec(
    name="softmax_backward",
    schema="(Tensor grad, Tensor output, float scale) -> Tensor",
    out_schema="(Tensor grad, Tensor output, float scale, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    eager=eager,
    eager_out=eager_out,
    samples=samples,
    jit_samples=("5x83",),
    # no element may dominate a row, because the terms of its gradient would cancel almost completely
    sized=lambda n, dtype, device: call((2 * n, 9 * n), dtype, device, 0.5, 0.5),
    rows=lambda length, dtype, device: [call((3, length), dtype, device, 0.5, 0.5)],
    drawn=drawn,
    bench_samples=(
        attention("GPT-2 medium training, 16x128x128", 16, 128, 64**-0.5, quick=True),
        attention("Llama-3-8B training, 32x512x512", 32, 512, 128**-0.5, quick=True),
        attention("the same without a scale, 32x512x512", 32, 512, 1.0),
    ),
    error_samples=error_samples,
    cost=lambda grad, output, scale: Cost(bytes=3 * grad.numel() * grad.element_size(), flops=4 * grad.numel()),
    out_may_be_input=True,
)
