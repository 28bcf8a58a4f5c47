"""cross_entropy_backward: the gradient of cross_entropy by the logits."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

_cross_entropy_backward = torch.ops.cpp_ext.cross_entropy_backward.default


@differentiable(_cross_entropy_backward)
def cross_entropy_backward(
    grad: Tensor,
    logits: Tensor,
    target: Tensor,
    lse: Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> Tensor:
    """The gradient of cross_entropy by the logits, from their log-sum-exp: each element is read and written once.

    With p = e^(logits - lse), smoothing s and g = grad, for the mean divided by the number of targets that are not
    ignored: g (p - s / V), and g (1 - s) less at the target; 0 in the rows of ignored targets.

    Args:
        grad: gradient of the loss, [N] for reduction 0, else a scalar; float32, bfloat16 or float16.
        logits: shape [N, V]; dtype and device of grad.
        target: class indices from 0 to V - 1, or ignore_index, shape [N]; int64.
        lse: log-sum-exp of each row, as cross_entropy returns it, shape [N]; float64.
        label_smoothing: as in cross_entropy, and so are the others.
        ignore_index: of targets whose rows have no gradient.
        reduction: 0 (none), 1 (mean) or 2 (sum).

    Returns:
        A contiguous tensor of the shape and dtype of logits, computed in float32. It has no gradient of its own.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape, device or value. On the CPU a target that is
            out of range is named with its row; on a GPU it makes its row NaN.
    """
    return _cross_entropy_backward(grad, logits, target, lse, label_smoothing, ignore_index, reduction)


no_gradient("cross_entropy_backward", "is a gradient and has none of its own, expected no second derivative")
