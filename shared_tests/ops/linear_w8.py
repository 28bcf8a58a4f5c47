"""linear_w8: a linear layer with int8 weights and one scale per output channel (weight-only quantisation)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, offset, randn, strided, transposed


def reference(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The formula as PyTorch users write it, for example in gpt-fast: every call converts the weight."""
    y = F.linear(x, weight.to(x.dtype)) * scales
    return y if bias is None else y + bias


def formula(x: Bounded, weight: torch.Tensor, scales: Bounded, bias: Bounded | None) -> Bounded:
    """The product may be rounded to the storage dtype before it is scaled, as in PyTorch."""
    y = x.matmul(type(x)(weight.double().t(), None, x.dtype)).stored() * scales
    return y if bias is None else y + bias


def eager(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The faster of the formula and PyTorch's own kernel for int8 weights.

    For 4096x4096 on two cores, torch._weight_int8pack_mm takes 0.16 of the formula's time in bfloat16 at batch 1, 0.13
    at batch 8 and 1.8 at batch 64; in float32, 0.35 at batch 1 and 2.0 at batch 8. In torch 2.13 it crashes (SIGSEGV)
    if sizes are not multiples of its block size (seen with 5x83 to 7).
    """
    batch = x.shape[0] if x.dim() == 2 else 0
    is_small_batch = batch == 1 or (1 <= batch <= 8 and x.dtype == torch.bfloat16)
    is_packable = all(size and size % 32 == 0 for size in weight.shape) and x.is_contiguous() and weight.is_contiguous()
    if not is_small_batch or not is_packable or x.device.type != "cpu":
        return reference(x, weight, scales, bias)
    y = torch._weight_int8pack_mm(x, weight, scales)
    return y if bias is None else y + bias


def codes(shape: tuple[int, ...], device: str) -> torch.Tensor:
    """A matrix of int8 values that covers the whole range, including -128 and 127."""
    n = torch.arange(shape[0] * shape[1], dtype=torch.int64, device=device)
    return (((n * 2654435761) >> 9 & 255) - 128).to(torch.int8).view(shape)


def call(batch: tuple[int, ...], size: int, out: int, dtype: torch.dtype, device: str, bias: bool = True) -> tuple:
    x = randn((*batch, size), dtype, device, seed="x")
    scales = (randn((out,), torch.float32, device, seed="s").abs() / 64 + 1e-3).to(dtype)
    return x, codes((out, size), device), scales, randn((out,), dtype, device, seed="b") if bias else None


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for batch in ((), (0,), (1,), (2,), (5,), (17,), (2, 3)):
        for size, out in ((83, 5), (769, 4)):
            yield Sample(f"{batch} x {size} -> {out}", call(batch, size, out, dtype, device))
    for size, out in ((0, 3), (1, 1), (7, 83), (16, 0), (5125, 2), (64, 64), (13824, 3)):
        yield Sample(f"3 x {size} -> {out}", call((3,), size, out, dtype, device, bias=False))
    yield Sample("split over threads", call((9,), 769, 513, dtype, device))
    for rows, size, out, bias in ((24, 83, 5, True), (37, 769, 67, False), (25, 13824, 400, True)):  # many rows
        yield Sample(f"{rows} x {size} -> {out}, many rows", call((rows,), size, out, dtype, device, bias=bias))
    x, weight, scales, bias = call((4,), 34, 18, dtype, device)
    yield Sample("strided", (strided(x), strided(weight), strided(scales), strided(bias)))
    yield Sample("offset", (offset(x), offset(weight), offset(scales), offset(bias)))
    yield Sample("transposed", (transposed(x), transposed(weight), scales, bias))
    yield Sample("NaN and infinity in x", (x.clone().index_fill_(1, torch.tensor([3], device=device), float("nan")),
                                           weight, scales, bias))  # fmt: skip


def error_samples(device: str) -> Iterator[ErrorSample]:
    x, weight, scales, bias = call((3,), 8, 5, torch.float32, device)
    yield ErrorSample("wrong dtype", (x.double(), weight, scales, bias), ("x", "float64", "expected float32"))
    yield ErrorSample("weight not int8", (x, weight.float(), scales, bias), ("weight", "float32", "expected int8"))
    yield ErrorSample("weight of rank 1", (x, weight[0], scales, bias), ("weight", "1 dimensions", "expected 2"))
    yield ErrorSample("weight too narrow", (x, weight[:, :7], scales, bias), ("weight", "[5, 7]", "[out, 8]"))
    yield ErrorSample("no scales", (x, weight, None, bias), ("scales", "Tensor"))
    yield ErrorSample("scales dtype", (x, weight, scales.half(), bias), ("scales", "float16", "expected float32"))
    yield ErrorSample("scales too short", (x, weight, scales[:4], bias), ("scales", "[4]", "expected [5]"))
    yield ErrorSample("bias dtype", (x, weight, scales, bias.half()), ("bias", "float16", "expected float32"))
    yield ErrorSample("bias shape", (x, weight, scales, bias[None]), ("bias", "[1, 5]", "expected [5]"))
    yield ErrorSample("0-d x", (x[0, 0], weight, scales, bias), ("x", "0 dimensions", "expected at least 1"))
    yield ErrorSample("mixed devices", (x, weight.to("meta"), scales, bias), ("weight", "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (x, weight, scales, 1.0), ("bias", "Tensor"))


def rows(length: int, dtype: torch.dtype, device: str) -> list[tuple]:
    """Numbers of rows for which the kernels take different paths."""
    return [call((batch,), length, 8, dtype, device) for batch in (1, 2, 4, 8, 15, 24)]


def drawn(draw: Draw) -> tuple:
    batch, size, out = draw.shape(0, 3)[:-1], draw.size(), draw.size(0, 20)
    x, weight = draw.tensor((*batch, size)), draw.integers((out, size), -128, 128, torch.int8)
    return x, weight, draw.tensor((out,)), draw.tensor((out,)) if draw.choice((False, True)) else None


def bench(batch: int, size: int, out: int, name: str, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        scales = torch.full((out,), 1 / 128, dtype=dtype, device=device)
        return big_randn((batch, size), dtype, device), codes((out, size), device), scales, None

    # Reports sort samples by size, so this is the number of float32 elements in as many bytes.
    return BenchSample(f"{name}, {batch}x{size} to {out}", make, size * out // 4, **options)


def cost(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> Cost:
    rows = x.numel() // max(1, x.shape[-1])
    moved = (x.numel() + rows * weight.shape[0] + weight.shape[0]) * x.element_size() + weight.numel()
    return Cost(bytes=moved, flops=2 * rows * weight.numel())


SPEC = OpSpec(
    name="linear_w8",
    schema="(Tensor x, Tensor weight, Tensor scales, Tensor? bias) -> Tensor",
    out_schema="(Tensor x, Tensor weight, Tensor scales, Tensor? bias, *, Tensor(a!) out) -> ()",
    reference=reference,
    formula=formula,
    autocast="lower",
    eager=eager,
    samples=samples,
    jit_samples=("(5,) x 83 -> 5",),
    sized=lambda n, dtype, device: call((2 * n,), 9 * n, 5 * n, dtype, device),
    rows=rows,
    drawn=drawn,
    bench_samples=(
        bench(1, 4096, 4096, "Llama-3-8B decode", quick=True),
        bench(1, 4096, 4096, "Llama-3-8B decode, weights in turn", in_turn=True),
        bench(1, 4096, 14336, "Llama-3-8B MLP decode"),
        bench(1, 4096, 14336, "Llama-3-8B MLP decode, weights in turn", in_turn=True),
        bench(1, 3584, 18944, "Qwen-2.5-7B MLP decode"),
        bench(8, 4096, 4096, "Llama-3-8B batch 8", quick=True),
        bench(64, 4096, 4096, "Llama-3-8B batch 64"),
        bench(512, 4096, 4096, "Llama-3-8B prefill 512"),
    ),
    error_samples=error_samples,
    cost=cost,
)
