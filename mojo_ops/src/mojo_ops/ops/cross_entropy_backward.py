"""cross_entropy_backward: the gradient of cross_entropy by the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import checks
from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient
from .cross_entropy import NONE, check_arguments

KERNEL = Kernel(
    "cross_entropy_backward",
    outputs=(("rows", "classes"),),
    inputs=(("losses",), ("rows", "classes"), ("rows",), ("rows",)),
    scalars=("float32", "int64", "int64"),
    input_dtypes={2: "int64", 3: "float64"},
)


def check(
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> None:
    """Raises TypeError or ValueError unless these are the arguments of cross_entropy and the gradient of its loss."""
    op = "cross_entropy_backward"
    checks.dtype(op, "grad", grad, checks.FLOATS)
    checks.like(op, "logits", logits, "grad", grad)
    checks.device(op, "lse", lse, "grad", grad)
    check_arguments(op, logits, target, label_smoothing, ignore_index, reduction)
    checks.dtype(op, "lse", lse, (torch.float64,))
    rows = logits.shape[:1]
    if reduction == NONE:
        checks.shape(op, "grad", grad, rows, "the rows of logits")
    else:
        checks.shape(op, "grad", grad, (), "a scalar")
    checks.shape(op, "lse", lse, rows, "the rows of logits")


def empty(
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> Tensor:
    """Checks the inputs and allocates what the op returns; for fake tensors that is all."""
    check(grad, logits, target, lse, label_smoothing, ignore_index, reduction)
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _check_out(
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
    *,
    out: Tensor,
) -> Tensor:
    check(grad, logits, target, lse, label_smoothing, ignore_index, reduction)
    checks.output("cross_entropy_backward", "out", out, logits.shape, "the shape of logits", "logits", logits)
    return out


def _run(
    out: Tensor,
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> None:
    if out.numel():
        options = label_smoothing, ignore_index, reduction
        launch(KERNEL, (), (), (out, grad.reshape(-1), logits, target, lse), options)


_ARGUMENTS = (
    "Tensor grad, Tensor logits, Tensor target, Tensor lse, float label_smoothing, int ignore_index, int reduction"
)

_op = define(
    KERNEL,
    f"({_ARGUMENTS}) -> Tensor",
    f"({_ARGUMENTS}, *, Tensor(a!) out) -> ()",
    empty,
    _check_out,
    _run,
    differentiable=True,
)
no_gradient("cross_entropy_backward", "is a gradient itself and has none")


@differentiable(_op)
def cross_entropy_backward(
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> Tensor:
    """Computes the gradient of cross_entropy by the logits, from their log-sum-exp, in float32.

    With p = e^(logits - lse), smoothing s and g = grad, for the mean divided by the number of targets that are not
    ignored: g (p - s / V), and g (1 - s) less at the target; 0 in the rows of ignored targets.

    Args:
        grad: gradient of the loss, [N] for reduction 0, else a scalar; float32, bfloat16 or float16.
        logits: [N, V]; dtype and device of grad.
        target: [N], class indices from 0 to V - 1, or ignore_index; int64.
        lse: [N], log-sum-exp of each row, as cross_entropy returns it; float64.
        label_smoothing: as in cross_entropy, and so are the others.
        ignore_index: of targets whose rows have no gradient.
        reduction: 0 (none), 1 (mean) or 2 (sum).

    Returns:
        A new contiguous tensor of the shape and dtype of logits; each element is read and written once.

    Raises:
        RuntimeError: any of what follows, with tensors on the CPU; the exceptions below come from others. Also where a
            gradient of the result is asked for.
        TypeError: a dtype is not supported, or logits has another one than grad.
        ValueError: a shape, a device or an option is not as stated, or a target is out of range, which on a GPU makes
            its row NaN instead.
    """
    return _op(grad, logits, target, lse, label_smoothing, ignore_index, reduction)
