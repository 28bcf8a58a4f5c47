"""linear_w8: a linear layer with int8 weights and one scale an output channel."""

from __future__ import annotations

from torch import Tensor

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


def _run(out: Tensor, x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
    if out.numel():
        rows = out.view(-1, out.shape[-1])
        launch(KERNEL, (), (), (rows, x.reshape(rows.shape[0], x.shape[-1]), weight, scales, bias))


_op = define(KERNEL, "(Tensor x, Tensor weight, Tensor scales, Tensor? bias) -> Tensor", _run, differentiable=True)

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
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or scales or bias have a different one than x.
        ValueError: a shape or a device does not fit.
    """
    return _op(x, weight, scales, bias)
