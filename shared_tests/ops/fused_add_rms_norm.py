"""fused_add_rms_norm: add_rms_norm in place, like vLLM's op of the same name."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.ops import add_rms_norm
from shared_tests.spec import ErrorSample, OpSpec, Skip


def eager(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float) -> None:
    """Copies the result, because PyTorch's rms_norm has no form that writes into an existing tensor."""
    residual.add_(x)
    x.copy_(F.rms_norm(residual, (x.shape[-1],), weight, eps))


def error_samples(device: str) -> Iterator[ErrorSample]:
    yield from add_rms_norm.error_samples(device)
    x, residual, weight, eps = add_rms_norm.call((6, 6), torch.float32, device)
    expected = "expected a contiguous tensor"
    yield ErrorSample("x not contiguous", (x.T, residual, weight, eps), ("x", "not contiguous", expected))
    yield ErrorSample("residual not contiguous", (x, residual.T, weight, eps), ("residual", "not contiguous", expected))
    yield ErrorSample("x is residual", (x, x, weight, eps), ("x", "overlaps", "expected memory of its own"))
    yield ErrorSample("weight is a row of x", (x, residual, x[0], eps), ("x", "overlaps weight", "expected memory"))


SPEC = OpSpec(
    name="fused_add_rms_norm",
    schema="(Tensor(a!) x, Tensor(b!) residual, Tensor weight, float eps) -> ()",
    out_schema=None,
    reference=add_rms_norm.reference,
    formula=add_rms_norm.formula,
    eager=eager,
    samples=add_rms_norm.contiguous_samples,
    jit_samples=("5x83", "7"),
    sized=add_rms_norm.sized,
    rows=lambda length, dtype, device: [add_rms_norm.call((3, length), dtype, device)],
    drawn=lambda draw: add_rms_norm.drawn(draw, contiguous=True),
    bench_samples=add_rms_norm.BENCH_SAMPLES,
    error_samples=error_samples,
    cost=add_rms_norm.cost,
    skips=(
        Skip(
            "torch 2.13's Inductor ends in KeyError 'buf1' on more than one row, in whatever form this is written",
            "https://github.com/pytorch/pytorch/issues/196570",
            route="compile",
            sample="5x83",
        ),
    ),
)
