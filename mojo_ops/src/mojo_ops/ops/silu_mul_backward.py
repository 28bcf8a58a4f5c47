"""silu_mul_backward: the gradients of silu_mul, after https://arxiv.org/abs/2002.05202."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel("silu_mul_backward", outputs=(("n",), ("n",)), inputs=(("n",), ("n",), ("n",)))


def _run(outputs: tuple[Tensor, Tensor], grad: Tensor, gate: Tensor, up: Tensor) -> None:
    if n := grad.numel():
        launch(KERNEL, (*outputs, grad, gate, up), (n,))


_op = define(
    KERNEL, "(Tensor grad, Tensor gate, Tensor up) -> (Tensor grad_gate, Tensor grad_up)", _run, differentiable=True
)


no_gradient("silu_mul_backward", "is a gradient itself and has none")


@differentiable(_op)
def silu_mul_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the gradients of silu(gate) * up by gate and up, in float32.

    With s = 1 / (1 + exp(-gate)) they are grad up s (1 + gate (1 - s)) and grad gate s, the derivatives of Shazeer,
    https://arxiv.org/abs/2002.05202, equation 6.

    Args:
        grad: any shape, the gradient of the output; float32, bfloat16 or float16.
        gate: the first input of silu_mul, in the shape, dtype and device of grad.
        up: the second input, the same.

    Returns:
        The gradients of gate and of up, two new contiguous tensors of the shape and dtype of grad, rounded once. Where
        gate is infinite they are NaN, as in PyTorch.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if a
            gradient of the result is requested.
        TypeError: a dtype is not supported, or gate or up has a different one than grad.
        ValueError: gate or up has a different shape or device than grad.
    """
    return _op(grad, gate, up)
