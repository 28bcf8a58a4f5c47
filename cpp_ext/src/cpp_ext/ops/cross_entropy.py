"""cross_entropy: of logits and class indices, without a temporary of the size of the logits."""

from typing import Any

import torch
from torch import Tensor

from .._autograd import register_autograd
from .._direct import differentiable

_cross_entropy = torch.ops.cpp_ext.cross_entropy.default


@differentiable(_cross_entropy)
def cross_entropy(
    logits: Tensor, target: Tensor, label_smoothing: float, ignore_index: int, reduction: int
) -> tuple[Tensor, Tensor]:
    """-log softmax(logits)[target] for each row, with the reductions of torch.nn.functional.cross_entropy.

    With lse = log sum e^logits and smoothing s the loss of a row is (1 - s) (lse - logits[target]) +
    s (lse - mean(logits)): Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016,
    arXiv:1512.00567, section 7.

    Args:
        logits: shape [N, V]; float32, bfloat16 or float16.
        target: class indices from 0 to V - 1, or ignore_index, shape [N]; int64.
        label_smoothing: from 0 to 1.
        ignore_index: rows with this target have the loss 0, no gradient, and do not count in the mean.
        reduction: 0 for the loss of each row, 1 for their mean, 2 for their sum. The mean over no row is NaN.

    Returns:
        The loss, [N] or a scalar, in the dtype of logits, and the log-sum-exp of each row, [N], which the gradient is
        computed from, in float64: a float32 would cost the gradient digits. All other sums are float32 or wider; all
        are the same for any number of threads. A row that holds NaN or +inf has NaN for both, one of -inf alone the
        loss NaN and the log-sum-exp -inf. Both are differentiable in logits; a second derivative of the loss
        raises. A gradient of the log-sum-exp, as of a z-loss, takes a temporary of the size of logits in float64.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape, device or value. On the CPU a target that is
            out of range is named with its row; on a GPU it makes the loss of its row NaN.
    """
    return _cross_entropy(logits, target, label_smoothing, ignore_index, reduction)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, target, *ctx.options = inputs
    _, lse = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(logits, target, lse)


def _gradient(
    ops: Any, ctx: Any, loss_grad: Tensor | None, lse_grad: Tensor | None
) -> tuple[Tensor | None, None, None, None, None]:
    logits, target, lse = ctx.saved_tensors
    grad = None
    if loss_grad is not None:
        grad = ops.cross_entropy_backward(loss_grad, logits, target, lse, *ctx.options)
    if lse_grad is not None:
        by_lse = (logits - lse[:, None]).exp() * lse_grad[:, None]  # the derivative of log-sum-exp is softmax
        grad = (by_lse if grad is None else grad + by_lse).to(logits.dtype)
    return grad, None, None, None, None


register_autograd("cross_entropy", _gradient, _save, autocast="float32")
