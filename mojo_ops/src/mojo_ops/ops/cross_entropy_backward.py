"""cross_entropy_backward: the gradient of cross_entropy by the logits."""

from __future__ import annotations

from torch import Tensor

from .._direct import differentiable
from ..kernel import Kernel
from ..register import define, launch, no_gradient

KERNEL = Kernel(
    "cross_entropy_backward",
    outputs=(("rows", "classes"),),
    inputs=(("losses",), ("rows", "classes"), ("rows",), ("rows",)),
    scalars=("float32", "int64", "int64"),
    input_dtypes={2: "int64", 3: "float64"},
)


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

_op = define(KERNEL, f"({_ARGUMENTS}) -> Tensor", _run, differentiable=True)
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
        RuntimeError: any of the errors below, for tensors on the CPU; other devices raise the types below. Also if a
            gradient of the result is requested.
        TypeError: a dtype is not supported, or logits has a different one than grad.
        ValueError: a shape, a device or an option is not as stated, or a target is out of range, which on a GPU makes
            its row NaN instead.
    """
    return _op(grad, logits, target, lse, label_smoothing, ignore_index, reduction)
