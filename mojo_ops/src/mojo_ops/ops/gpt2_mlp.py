"""gpt2_mlp: the feed-forward part of a GPT-2 block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

# Adds the bias and applies GELU between PyTorch's matrix products.
KERNEL = Kernel("gpt2_mlp", outputs=(("rows", "inner"),), inputs=(("rows", "inner"), ("inner",)))
OPERANDS = Kernel(
    "gpt2_mlp",
    outputs=(("rows", "out"),),
    inputs=(("rows", "in"), ("in", "inner"), ("inner",), ("inner", "out"), ("out",)),
)


def composed(kernel: Callable[..., Any], outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
    """Computes the op around its kernel, for routes that call `kernel(outputs, inputs)` from Python."""
    (out,), (x, w1, b1, w2, b2) = outputs, inputs
    rows = out.view(-1, out.shape[-1])
    hidden = torch.mm(x.reshape(rows.shape[0], x.shape[-1]), w1)
    if hidden.numel():
        kernel((hidden,), (hidden, b1))
    torch.addmm(b2, hidden, w2, out=rows)


def _run(out: Tensor, *inputs: Tensor) -> None:
    if out.numel():
        composed(lambda outputs, operands: launch(KERNEL, (), (), (*outputs, *operands)), (out,), inputs)


_op = define(KERNEL, "(Tensor x, Tensor w1, Tensor b1, Tensor w2, Tensor b2) -> Tensor", _run, differentiable=True)

no_gradient("gpt2_mlp", "is for inference and has no gradient", autocast="lower")


@differentiable(_op)
def gpt2_mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Computes gelu_tanh(x @ w1 + b1) @ w2 + b2, Radford et al. 2019, with weights [in, out] as in GPT-2's Conv1D.

    The products are those of PyTorch (MKL, oneDNN, cuBLAS), and x @ w1 is rounded to the dtype before b1 is added. In
    `mojo_ops.aot` up to 8 rows (bfloat16: 4) are one pass over each weight, summed in float32.

    Args:
        x: [..., K]; float32, bfloat16 or float16.
        w1: [K, M], dtype and device of x; the same for the tensors below.
        b1: [M].
        w2: [M, N].
        b2: [N].

    Returns:
        A new contiguous tensor of shape [..., N] and the dtype of x. It has no gradient.

    Raises:
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below.
        TypeError: a dtype is not supported, or not that of x.
        ValueError: a shape or a device does not fit.
    """
    return _op(x, w1, b1, w2, b2)
