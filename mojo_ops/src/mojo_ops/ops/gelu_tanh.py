"""gelu_tanh: the tanh approximation of GELU, https://arxiv.org/abs/1606.08415."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("gelu_tanh", outputs=(("n",),), inputs=(("n",),))


def check(x: Tensor) -> None:
    """Raises TypeError unless x is floating-point."""
    checks.dtype("gelu_tanh", "x", x, checks.FLOATS)


def empty(x: Tensor) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(x)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _check_out(x: Tensor, *, out: Tensor) -> Tensor:
    check(x)
    checks.output("gelu_tanh", "out", out, x.shape, "the shape of x", "x", x)
    return out


def _run(out: Tensor, x: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, x), (n,))


_op = define(
    KERNEL,
    "(Tensor x) -> Tensor",
    "(Tensor x, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


register_autograd("gelu_tanh", lambda ops, ctx, grad: ops.gelu_tanh_backward(grad, *ctx.saved_tensors), _save)


@differentiable(_op)
def gelu_tanh(x: Tensor) -> Tensor:
    """Applies 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) to each element, computed in float32.

    Args:
        x: any shape; float32, bfloat16 or float16.

    Returns:
        A new contiguous tensor of the shape and dtype of x. NaN stays NaN, -inf gives NaN as in PyTorch.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others.
        TypeError: the dtype is not supported.
    """
    return _op(x)
