"""linear_w8: a linear layer with int8 weights and one scale an output channel."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import no_gradient
from .._direct import differentiable
from .._fake import register_fake

_linear_w8 = torch.ops.cpp_ext.linear_w8.default


@differentiable(_linear_w8)
def linear_w8(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """(x @ weight^T) * scales + bias: weight-only quantisation, symmetric, one scale for each row of the weight.

    Args:
        x: shape [..., K]; float32, bfloat16 or float16.
        weight: shape [N, K], int8.
        scales: shape [N], dtype and device of x.
        bias: as scales, or None.

    Returns:
        A contiguous tensor of shape [..., N] and the dtype of x. Products are summed in float32. It has no gradient.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _linear_w8(x, weight, scales, bias)


def _check(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> tuple[int, ...]:
    checks.same_device("linear_w8", x=x, weight=weight, scales=scales, bias=bias)
    checks.float_dtype("linear_w8", x=x, scales=scales, bias=bias)
    checks.dtype("linear_w8", "weight", weight, torch.int8)
    checks.require(x.dim() >= 1, f"linear_w8: x has {x.dim()} dimensions, expected at least 1")
    checks.require(weight.dim() == 2, f"linear_w8: weight has {weight.dim()} dimensions, expected 2 (out, in)")
    out, size = weight.shape
    checks.require(
        size == x.shape[-1],
        f"linear_w8: weight has shape {list(weight.shape)}, expected [out, {x.shape[-1]}], the last dimension of x",
    )
    for name, tensor in (("scales", scales), ("bias", bias)):
        if tensor is not None:
            checks.shape("linear_w8", name, tensor, (out,), "the rows of weight")
    return (*x.shape[:-1], out)


@register_fake("linear_w8")
def _(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(_check(x, weight, scales, bias))


@register_fake("linear_w8.out")
def _(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, *, out: Tensor) -> None:
    shape = _check(x, weight, scales, bias)
    checks.out("linear_w8", "out", out, x, "x", shape, "x with the rows of weight")


no_gradient("linear_w8", "is for inference and has no gradient", autocast="lower")
