"""silu_mul_backward: the gradients of silu_mul, after https://arxiv.org/abs/2002.05202."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel("silu_mul_backward", outputs=(("n",), ("n",)), inputs=(("n",), ("n",), ("n",)))


def check(grad: Tensor, gate: Tensor, up: Tensor) -> None:
    """Raises TypeError or ValueError unless grad, gate and up are floating-point and alike."""
    op = "silu_mul_backward"
    checks.dtype(op, "grad", grad, checks.FLOATS)
    for name, tensor in (("gate", gate), ("up", up)):
        checks.like(op, name, tensor, "grad", grad)
        checks.shape(op, name, tensor, grad.shape, "the shape of grad")


def empty(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(grad, gate, up)
    grad_gate, grad_up = (torch.empty_like(grad, memory_format=torch.contiguous_format) for _ in range(2))
    return grad_gate, grad_up


def _check_out(grad: Tensor, gate: Tensor, up: Tensor, *, grad_gate: Tensor, grad_up: Tensor) -> tuple[Tensor, Tensor]:
    check(grad, gate, up)
    for name, tensor in (("grad_gate", grad_gate), ("grad_up", grad_up)):
        checks.output("silu_mul_backward", name, tensor, grad.shape, "the shape of grad", "grad", grad)
    return grad_gate, grad_up


def _run(outputs: tuple[Tensor, Tensor], grad: Tensor, gate: Tensor, up: Tensor) -> None:
    if n := grad.numel():
        launch(KERNEL, (*outputs, grad, gate, up), (n,))


_op = define(
    KERNEL,
    "(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)",
    "(Tensor grad, Tensor gate, Tensor up, *, Tensor(a!) grad_gate, Tensor(b!) grad_up) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
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
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others. Also where a
            gradient of the result is asked for.
        TypeError: a dtype is not supported, or gate or up has another one than grad.
        ValueError: gate or up has another shape or device than grad.
    """
    return _op(grad, gate, up)
