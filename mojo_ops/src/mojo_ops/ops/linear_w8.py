"""linear_w8: a linear layer with int8 weights and one scale an output channel."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "linear_w8",
    outputs=(("rows", "out"),),
    inputs=(("rows", "in"), ("out", "in"), ("out",), ("out",)),
    optional=(3,),
    input_dtypes={1: "int8"},
)


def check(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> tuple[int, ...]:
    """Raises TypeError or ValueError unless all fit each other; gives the shape of the result."""
    checks.dtype("linear_w8", "x", x, checks.FLOATS)
    checks.dtype("linear_w8", "weight", weight, (torch.int8,))
    checks.device("linear_w8", "weight", weight, "x", x)
    if x.dim() == 0:
        raise ValueError("linear_w8: x has 0 dimensions, expected at least 1")
    checks.rank("linear_w8", "weight", weight, 2, "out, in")
    out, size = weight.shape
    if size != x.shape[-1]:
        raise ValueError(
            f"linear_w8: weight has shape {list(weight.shape)}, expected [out, {x.shape[-1]}], the last dimension of x"
        )
    checks.like("linear_w8", "scales", scales, "x", x)
    checks.shape("linear_w8", "scales", scales, (out,), "the rows of weight")
    if bias is not None:
        checks.like("linear_w8", "bias", bias, "x", x)
        checks.shape("linear_w8", "bias", bias, (out,), "the rows of weight")
    return (*x.shape[:-1], out)


def empty(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    return x.new_empty(check(x, weight, scales, bias))


def _check_out(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, *, out: Tensor) -> Tensor:
    shape = check(x, weight, scales, bias)
    checks.output("linear_w8", "out", out, shape, "x with the rows of weight", "x", x)
    return out


def _run(out: Tensor, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
    if out.numel():
        rows = out.view(-1, out.shape[-1])
        launch(KERNEL, (), (), (rows, x.reshape(rows.shape[0], x.shape[-1]), weight, scales, bias))


_op = define(
    KERNEL,
    "(Tensor x, Tensor weight, Tensor scales, Tensor? bias) -> Tensor",
    "(Tensor x, Tensor weight, Tensor scales, Tensor? bias, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)

no_gradient("linear_w8", "is for inference and has no gradient", autocast="lower")


@differentiable(_op)
def linear_w8(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """Computes (x @ weight^T) * scales + bias: weight-only quantisation, one scale for each row of the weight.

    Args:
        x: [..., K]; float32, bfloat16 or float16.
        weight: [N, K], int8.
        scales: [N], dtype and device of x.
        bias: as scales, or None.

    Returns:
        A new contiguous tensor of shape [..., N] and the dtype of x, summed in float32. It has no gradient.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: a dtype is not supported, or scales or bias have another one than x.
        ValueError: a shape or a device does not fit.
    """
    return _op(x, weight, scales, bias)
