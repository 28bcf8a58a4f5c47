"""gelu_tanh: the tanh approximation of GELU, https://arxiv.org/abs/1606.08415."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, register_autograd

KERNEL = Kernel("gelu_tanh", outputs=(("n",),), inputs=(("n",),))


def _run(out: Tensor, x: Tensor) -> None:
    if n := out.numel():
        launch(KERNEL, (out, x), (n,))


_op = define(KERNEL, "(Tensor x) -> Tensor", _run, differentiable=True)


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
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: the dtype is not supported.
    """
    return _op(x)
